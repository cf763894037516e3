"""Pictures as tensors: uint8 `(N, C, height, width)` outside the model, floats in [-1, 1] inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from PIL.Image import Image


def to_float(pictures: Tensor) -> Tensor:
    """Return floats in [-1, 1] of uint8 pictures."""
    return pictures.float().div(127.5).sub(1)


def to_uint8(pictures: Tensor) -> Tensor:
    """Return uint8 pictures of floats, clipped to [-1, 1]."""
    return pictures.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def to_patches(pictures: Tensor, patch_size: int) -> Tensor:
    """Return `(N, n, C * P * P)` patches in raster order of `(N, C, height, width)`."""
    count, channels, height, width = pictures.shape
    rows, columns = height // patch_size, width // patch_size
    split = pictures.reshape(count, channels, rows, patch_size, columns, patch_size)
    return split.permute(0, 2, 4, 1, 3, 5).reshape(count, rows * columns, channels * patch_size**2)


def from_patches(patches: Tensor, patch_size: int, grid: tuple[int, int]) -> Tensor:
    """Return `(N, C, height, width)` pictures of `(N, n, C * P * P)` patches in raster order."""
    count, _, width = patches.shape
    rows, columns = grid
    channels = width // patch_size**2
    split = patches.reshape(count, rows, columns, channels, patch_size, patch_size)
    return split.permute(0, 3, 1, 4, 2, 5).reshape(count, channels, rows * patch_size, columns * patch_size)


def from_image(image: Image) -> Tensor:
    """Return an opened picture as uint8 `(3, height, width)`: turned as its camera says, transparent parts white."""
    from PIL import Image, ImageOps

    turned = ImageOps.exif_transpose(image).convert("RGBA")
    flat = Image.alpha_composite(Image.new("RGBA", turned.size, "white"), turned).convert("RGB")
    return torch.from_numpy(np.array(flat)).permute(2, 0, 1).contiguous()


def to_square(picture: Tensor, size: int) -> Tensor:
    """Return a uint8 picture `(C, height, width)`, padded with white to a square, as `(C, size, size)`."""
    _, height, width = picture.shape
    if (height, width) == (size, size):
        return picture
    side = max(height, width)
    left, top = (side - width) // 2, (side - height) // 2
    square = F.pad(picture.float(), (left, side - width - left, top, side - height - top), value=255.0)
    small = F.interpolate(square[None], size=(size, size), mode="bilinear", antialias=True)[0]
    return small.round().clamp(0, 255).to(picture.dtype)
