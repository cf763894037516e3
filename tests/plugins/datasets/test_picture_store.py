from __future__ import annotations

import io
import logging

import numpy as np
import pytest
from mmgraph_datasets.gallery import Gallery, Shown, hold_out_val
from mmgraph_datasets.picture_store import PictureStore, square
from PIL import Image

from mmgraph.errors import RunError, UsageError


def png(colour, size=(8, 8), mode="RGB"):
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_picture_is_read_once_while_it_is_kept_and_again_after():
    read = []
    files = {f"{n}": png((n, 0, 0)) for n in range(400)}

    def give(name):
        read.append(name)
        return files[name]

    store = PictureStore(give, size=64, fit="crop", memory_mb=1)  # holds 85 pictures of 64 px
    for _ in range(2):
        assert [int(store.get(str(n))[0, 0, 0]) for n in range(80)] == list(range(80))
    assert len(read) == 80
    for n in range(80, 300):
        store.get(str(n))
    store.get("0")
    assert read.count("0") == 2
    assert len(store._kept) == 85


def test_damage_is_counted_and_only_the_first_few_are_named(caplog):
    store = PictureStore(lambda name: b"nothing", size=8, fit="crop")
    with caplog.at_level(logging.WARNING):
        assert all(store.get(str(n)) is None for n in range(12))
        assert store.get("0") is None
    assert len(store.damaged) == 12
    assert [record.message.split(":")[0] for record in caplog.records] == [
        *(f"picture left out ({n} so far)" for n in (1, 2, 3, 4, 5, 10)),
    ]


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK", "I;16"])
def test_every_kind_of_picture_becomes_rgb(mode):
    buffer = io.BytesIO()
    Image.new("L", (30, 20), 255).convert(mode if mode != "I;16" else "I").save(buffer, "TIFF")
    assert square(buffer.getvalue(), 8, "pad").shape == (8, 8, 3)


def test_a_large_photograph_is_decoded_nearly_as_if_whole():
    x = np.linspace(0, 255, 640)
    pixels = np.stack([np.tile(x, (480, 1)), np.tile(x[::-1], (480, 1)), np.full((480, 640), 90)], -1)
    picture = Image.fromarray(pixels.astype(np.uint8))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=95)
    whole = io.BytesIO()
    picture.save(whole, "PNG")
    for fit in ("crop", "pad"):
        short, long = (square(b.getvalue(), 32, fit).astype(int) for b in (buffer, whole))
        assert abs(short - long).mean() < 3


def test_limits_of_options():
    with pytest.raises(UsageError, match="image_size must be at least 4, not 3"):
        PictureStore(lambda name: b"", size=3, fit="crop")
    store = PictureStore(lambda name: b"", size=8, fit="crop")
    with pytest.raises(UsageError, match="evaluated must be at least 1"):
        Gallery([], {}, store, world="w", evaluated=0)
    with pytest.raises(RunError, match="the picture x cannot be shown"):
        Gallery([Shown("x", ["text"])], {"train": [0]}, store, world="w").picture(0)


def test_val_is_the_same_part_whatever_is_added():
    names = [f"{n}.jpg" for n in range(2000)]
    held = {names[i] for i in hold_out_val(names, "w")["val"]}
    more = [*(f"new{n}.jpg" for n in range(500)), *names]
    assert held == {more[i] for i in hold_out_val(more, "w")["val"]} & set(names)
    assert 60 < len(held) < 140
    assert [len(found) for found in hold_out_val(["a"], "w").values()] == [1, 0]
    assert [len(found) for found in hold_out_val(["a", "b"], "w").values()] == [1, 1]
