"""Pictures in and out of the page: strangers' files read with limits, tensors written as PNG."""

from __future__ import annotations

import base64
import binascii
import io
import threading
import warnings

import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from mmgraph.errors import UsageError
from mmgraph.pictures import from_image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
MEGAPIXELS = 25
LONGEST = 1024
"""Longest side kept: a thin strip would grow beyond all memory when it is padded to a square."""

_one_at_a_time = threading.Lock()  # a decoded picture takes hundreds of times the memory of its file


def read(content: bytes) -> Tensor:
    """Return a picture file's first frame as uint8 `(3, height, width)`, transparent parts white.

    Raises:
        UsageError: If it is no picture of a known format, damaged, or too large.
    """
    known = ", ".join(FORMATS)
    try:
        with _one_at_a_time, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
                width, height = opened.size
                if width * height > MEGAPIXELS * 1_000_000:
                    raise UsageError(
                        f"the picture has {width} x {height} pixels; at most {MEGAPIXELS} million are read. "
                        "Make it smaller first."
                    )
                turned = ImageOps.exif_transpose(opened).convert("RGBA")
            turned.thumbnail((LONGEST, LONGEST))
            return from_image(turned)
    except UnidentifiedImageError:
        raise UsageError(f"this file is not a picture that can be read; choose one of {known}.") from None
    except UsageError:
        raise
    except Exception as error:  # decoders of damaged files raise whatever they stumble on
        raise UsageError(f"the picture is damaged ({type(error).__name__}); choose another of {known}.") from error


def strip(pictures: Tensor) -> str:
    """Return uint8 pictures `(N, C, H, W)` side by side as one PNG in base64."""
    if pictures.shape[1] == 1:
        pictures = pictures.expand(-1, 3, -1, -1)
    row = pictures[:, :3].permute(2, 0, 3, 1).reshape(pictures.shape[2], -1, 3)  # (H, N W, 3)
    file = io.BytesIO()
    Image.fromarray(row.contiguous().cpu().numpy()).save(file, "PNG", compress_level=1)
    return base64.b64encode(file.getvalue()).decode()


def unstrip(text: str) -> Tensor:
    """Return the one picture `(3, H, W)` of what `strip` wrote.

    Raises:
        UsageError: If the text is no picture.
    """
    try:
        return read(base64.b64decode(text, validate=True))
    except binascii.Error as error:
        raise UsageError("the picture did not arrive whole; choose it again.") from error


def with_channels(picture: Tensor, channels: int) -> Tensor:
    """Return a colour picture with as many channels as a model reads."""
    return picture.float().mean(0, keepdim=True).round().to(torch.uint8) if channels == 1 else picture
