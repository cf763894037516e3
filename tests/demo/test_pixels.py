from __future__ import annotations

import io
import struct
import zlib

import pytest
import torch
from PIL import Image

from mmgraph.demo import pixels
from mmgraph.errors import UsageError
from mmgraph.testing.stand_ins import pictures


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_there_and_back():
    for picture in pictures(3, 9):
        assert torch.equal(pixels.unstrip(pixels.strip(picture[None])), picture)


def test_a_strip_keeps_order_and_grey():
    two = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    two[1] = 200
    back = pixels.unstrip(pixels.strip(two))
    assert back.shape == (3, 4, 8)
    assert back[:, 0, 3].tolist() == [0, 0, 0]
    assert back[:, 0, 4].tolist() == [200, 200, 200]


@pytest.mark.parametrize("kind", pixels.FORMATS)
def test_the_formats_of_browsers(kind):
    red = Image.new("RGB", (20, 10), (255, 0, 0))
    picture = pixels.read(encoded(red, kind))
    assert picture.shape == (3, 10, 20)
    assert (picture.float().mean((1, 2)) - torch.tensor([255.0, 0, 0])).abs().max() < 3


def test_transparent_is_white_and_cameras_are_held_upright():
    assert bool((pixels.read(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 0)), "PNG")) == 255).all())
    exif = Image.Exif()
    exif[274] = 6  # turned by a quarter
    assert pixels.read(encoded(Image.new("RGB", (20, 10)), "JPEG", exif=exif)).shape == (3, 20, 10)


def test_a_thin_strip_does_not_become_a_huge_square():
    assert max(pixels.read(encoded(Image.new("L", (30_000, 3)), "PNG")).shape) <= pixels.LONGEST


def bomb(side: int) -> bytes:
    """Return a PNG that claims side x side pixels and holds none."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
        (bomb(6_000), "at most 25 million"),
        (bomb(100_000), "damaged|at most 25 million"),
        (bomb(100), "damaged"),
        (encoded(Image.effect_noise((64, 64), 50), "JPEG")[:600], "damaged"),
    ],
)
def test_what_is_no_picture_is_refused(content, message):
    with pytest.raises(UsageError, match=message):
        pixels.read(content)


def test_a_damaged_transfer_is_refused():
    with pytest.raises(UsageError, match="did not arrive whole"):
        pixels.unstrip("not base64!")
