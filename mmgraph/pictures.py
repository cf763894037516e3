"""Pictures as tensors: uint8 `(N, C, height, width)` outside the model, floats in [-1, 1] inside."""

from __future__ import annotations

import torch
from torch import Tensor


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
