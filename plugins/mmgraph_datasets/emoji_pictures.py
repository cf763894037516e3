"""Pictures of emoji: composited on white, resized, their dominant colour named, their twins found."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmgraph_datasets.emoji_catalogue import Emoji, gather
from mmgraph_datasets.emoji_words import GENDERS, bare

ART_SIZE = 72
SAME = 3e-5
"""Mean squared difference (of values in [0, 1]) below which two thumbnails show one picture."""

PALETTE = {
    "red": (205, 40, 55),
    "orange": (244, 144, 12),
    "yellow": (255, 204, 77),
    "green": (92, 145, 59),
    "blue": (59, 136, 195),
    "purple": (146, 102, 204),
    "pink": (244, 150, 190),
    "brown": (150, 90, 60),
    "black": (41, 47, 51),
    "grey": (136, 153, 166),
    "white": (240, 243, 246),
}
"""Colours that answers name, as the art uses them."""

_SHADES = {**PALETTE, "sky": (160, 205, 240), "dark blue": (38, 75, 140), "leaf": (160, 205, 90)}
_NAMED_AS = {"sky": "blue", "dark blue": "blue", "leaf": "green"}


def build(size: int) -> tuple[list[Emoji], Tensor]:
    """Return the whole catalogue and its pictures, uint8 `(N, 3, size, size)`."""
    entries = gather()
    pictures = np.empty((len(entries), size, size, 3), np.uint8)
    thumbnails = np.empty((len(entries), 12 * 12 * 3), np.float32)
    catalogue = []
    for i, (record, path) in enumerate(entries):
        transparent, flat = _open(path)
        resized = flat if flat.width == size else flat.resize((size, size), Image.Resampling.LANCZOS)
        pictures[i] = np.asarray(resized)
        thumbnails[i] = np.asarray(flat.reduce(6), np.float32).ravel() / 255
        catalogue.append(dataclasses.replace(record, index=i, colour=dominant_colour(transparent)))
    catalogue = _mark_twins(catalogue, thumbnails)
    return catalogue, torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy())


def dominant_colour(picture: Image.Image) -> str:
    """Return the palette's name for most opaque pixels of an RGBA picture; nearest in CIELAB."""
    small = np.asarray(picture.reduce(2)).reshape(-1, 4)
    opaque = small[small[:, 3] > 200, :3].astype(np.int64) >> 3
    votes = np.bincount(_colour_table()[opaque[:, 0], opaque[:, 1], opaque[:, 2]], minlength=len(PALETTE))
    return list(PALETTE)[votes.argmax()] if len(opaque) else "white"


@functools.cache
def _colour_table() -> np.ndarray:
    """Place in `PALETTE` of each colour, by the upper five bits of red, green and blue."""
    levels = np.arange(32) * 8 + 4.0
    cube = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 3)
    shades = _lab(np.array(list(_SHADES.values()), np.float64))
    nearest = ((_lab(cube)[:, None] - shades[None]) ** 2).sum(-1).argmin(1)
    colours = [list(PALETTE).index(_NAMED_AS.get(shade, shade)) for shade in _SHADES]
    return np.array(colours)[nearest].reshape(32, 32, 32)


def _open(path: Path) -> tuple[Image.Image, Image.Image]:
    with Image.open(path) as file:
        transparent = file.convert("RGBA")
    background = Image.new("RGBA", transparent.size, (255, 255, 255, 255))
    return transparent, Image.alpha_composite(background, transparent).convert("RGB")


def _lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB (D65) of sRGB values in [0, 255], `(..., 3)`."""
    x = rgb / 255
    x = np.where(x > 0.04045, ((x + 0.055) / 1.055) ** 2.4, x / 12.92)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x = x @ to_xyz.T / np.array([0.9505, 1.0, 1.089])
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def _mark_twins(catalogue: Sequence[Emoji], thumbnails: np.ndarray) -> list[Emoji]:
    """Mark pictures that others show too (flags of France and St Martin), so that each name has its own.

    Kept is the simplest of the twins: untoned, without gendered words, of fewest words.
    """

    def simplicity(e: Emoji) -> tuple[int, int, int, str]:
        words = e.name.split()
        gendered = sum(word in GENDERS or word in ("boy", "girl") for word in words)
        return len(e.tones), gendered, len(words), bare(e.emoji)

    square = (thumbnails**2).sum(1)
    twin_of: dict[int, int] = {}
    order = sorted(range(len(catalogue)), key=lambda i: simplicity(catalogue[i]))
    rank = {i: r for r, i in enumerate(order)}
    for start in range(0, len(catalogue), 512):
        rows = thumbnails[start : start + 512]
        distance = square[start : start + 512, None] + square[None] - 2 * rows @ thumbnails.T
        for row, other in zip(*np.nonzero(distance < SAME * thumbnails.shape[1] + 1e-3), strict=True):
            i, j = start + int(row), int(other)
            # Norms cancel badly in float32, so near ties are settled on the difference itself.
            if rank[j] < rank[i] and float(((thumbnails[i] - thumbnails[j]) ** 2).mean()) < SAME:
                twin_of[i] = min(twin_of.get(i, j), j, key=rank.__getitem__)
    return [
        dataclasses.replace(e, duplicate_of=catalogue[twin_of[i]].emoji) if i in twin_of else e
        for i, e in enumerate(catalogue)
    ]
