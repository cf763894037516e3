"""The oracle: reads the things back from a picture, so that a drawing can be marked right or wrong.

Analysis by synthesis: ink on white is segmented, and each piece is compared with rendered templates of every
shape, radius and sub-pixel offset. For template m and ink channels k_c, the best colour is the least-squares
one and explains sum_c (m . k_c)^2 / (m . m) of the ink's energy; the template that explains most is read.
Exact on clean renders from 16 to 64 px; under noise it degrades, and `Reading.fit` says how far.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mmgraph_datasets.shapes_shades import nearest_shade
from mmgraph_datasets.shapes_world import (
    CENTERS,
    COLOURS,
    PLACES,
    SHAPES,
    SIZE_LIMIT,
    SIZES,
    Scene,
    Thing,
    coverage,
    relations,
)

POOL_FROM = 48
"""Pictures at least this large are read at half size: all that counts is still there."""
INK = 0.3
"""Ink (of any channel) that makes a pixel part of a thing; the gap between two things has at most 0.24."""
EDGE = 0.1
"""Ink that still belongs to a thing's box; less is noise."""
SMALLEST = 0.005
"""Share of the picture that a thing must cover in ink."""
ATTRIBUTES = ("count", "colour", "shape", "size", "place", "relation")
STEP = 0.0094
"""Distance between the offsets of templates, as a share of the picture's side (0.15 px at 16 px)."""


@dataclass(frozen=True, slots=True)
class Reading(Thing):
    """A thing as read from a picture.

    Args:
        fit: Share of its ink that the best template explains, 1 on clean renders.
    """

    fit: float = 1.0


def read(picture: Tensor) -> list[Reading]:
    """Return the things of a picture in reading order (by rows, then columns).

    Args:
        picture: uint8 `(3, size, size)` on white, 16 px or more.

    Raises:
        ValueError: If the picture is not square, has not three channels, or is smaller than 16 px.
    """
    if picture.dim() != 3 or picture.shape[0] != 3 or picture.shape[1] != picture.shape[2] or picture.shape[1] < 16:
        raise ValueError(f"the oracle reads pictures (3, size, size) of 16 px or more, not {tuple(picture.shape)}.")
    ink = 1 - picture.detach().cpu().numpy().astype(np.float32) / 255
    while ink.shape[1] >= POOL_FROM and ink.shape[1] % 2 == 0:
        half = ink.shape[1] // 2
        ink = ink.reshape(3, half, 2, half, 2).mean((2, 4))
    size = ink.shape[1]
    pieces = _pieces(ink.max(0), size)
    return sorted((_match(ink, pieces, i, size) for i in range(len(pieces))), key=lambda t: t.cell)


def check(picture: Tensor, scene: Scene, shades: int = 1) -> dict[str, bool]:
    """Return for each of `ATTRIBUTES` (and `all`) whether the picture shows what the scene says.

    Things are paired so that most attributes agree. A missing or surplus thing makes every attribute
    wrong, `relation` is there where the scene has two things or more. In a world of several shades so is `shade`, which
    is no part of `all`: that is what words tell.
    """
    found, wanted = read(picture), scene.things
    if shades > 1:  # a shade may lie between two plain colours, and is named more surely among all shades
        found = [replace(thing, colour=nearest_shade(thing.rgb, shades)[0]) for thing in found]
    best: Sequence[Reading] = found
    right = dict.fromkeys(("count", "colour", "shape", "size", "place"), len(found) == len(wanted))
    if len(wanted) > 1:
        right["relation"] = right["count"]
    if right["count"]:

        def agreement(order: Sequence[Reading]) -> dict[str, bool]:
            return {
                name: all(getattr(a, name) == getattr(b, name) for a, b in zip(order, wanted, strict=True))
                for name in ("colour", "shape", "size", "place")
            }

        def score(order: Sequence[Reading]) -> int:
            pairs = zip(order, wanted, strict=True)
            return sum(getattr(a, n) == getattr(b, n) for a, b in pairs for n in ("colour", "shape", "size", "place"))

        best = max(itertools.permutations(found), key=score)
        right |= agreement(best)
        if len(wanted) > 1:
            right["relation"] = all(
                relations(best[i], best[j]) == relations(wanted[i], wanted[j])
                for i, j in itertools.combinations(range(len(wanted)), 2)
            )
    right["all"] = all(right.values())
    if shades > 1:
        right["shade"] = right["count"] and all(
            nearest_shade(a.rgb, shades)[1] == nearest_shade(b.rgb, shades)[1]
            for a, b in zip(best, wanted, strict=True)
        )
    return right


def _pieces(strength: np.ndarray, size: int) -> list[np.ndarray]:
    """Return one mask per thing: connected inked pixels, fragments of one thing joined again.

    A thin arm at 16 px may fall apart; two pieces in a box no larger than one thing are one thing, since
    two things span at least 0.6 of the picture.
    """
    masks = _connected(strength > INK)
    masks.sort(key=lambda mask: -float(strength[mask].sum()))
    largest = 2 * SIZES["large"][1] * size + 1.5
    joined: list[np.ndarray] = []
    for mask in masks:
        for i, other in enumerate(joined):
            rows, columns = np.nonzero(mask | other)
            if max(np.ptp(rows), np.ptp(columns)) + 1 <= largest:
                joined[i] = mask | other
                break
        else:
            joined.append(mask)
    return [mask for mask in joined if float(strength[mask].sum()) >= SMALLEST * size * size]


def _connected(mask: np.ndarray) -> list[np.ndarray]:
    """Return the 8-connected pieces of a mask."""
    width = mask.shape[1] + 2  # a margin, so that no neighbour wraps around
    todo = set(np.flatnonzero(np.pad(mask, 1)).tolist())
    steps = [row * width + column for row in (-1, 0, 1) for column in (-1, 0, 1)]
    pieces = []
    while todo:
        stack = [todo.pop()]
        piece = np.zeros(((mask.shape[0] + 2) * width,), bool)
        while stack:
            here = stack.pop()
            piece[here] = True
            for step in steps:
                if here + step in todo:
                    todo.remove(here + step)
                    stack.append(here + step)
        pieces.append(piece.reshape(-1, width)[1:-1, 1:-1])
    return pieces


def _grown(mask: np.ndarray) -> np.ndarray:
    """Return the mask and every pixel next to it."""
    rows = mask.copy()
    rows[1:] |= mask[:-1]
    rows[:-1] |= mask[1:]
    grown = rows.copy()
    grown[:, 1:] |= rows[:, :-1]
    grown[:, :-1] |= rows[:, 1:]
    return grown


def _match(ink: np.ndarray, pieces: Sequence[np.ndarray], index: int, size: int) -> Reading:
    own = _grown(pieces[index])
    for i, other in enumerate(pieces):
        if i != index:
            own &= ~_grown(other)
    own |= pieces[index]
    alone = ink * own
    rows, columns = np.nonzero(alone.max(0) > EDGE)
    templates, norms, parameters, half = _templates(size)
    row, column = ((int(c.min()) + int(c.max())) // 2 for c in (rows, columns))
    window = np.zeros((3, 2 * half + 1, 2 * half + 1), np.float32)
    up, left = max(0, row - half), max(0, column - half)
    seen = alone[:, up : row + half + 1, left : column + half + 1]
    up, left = up - row + half, left - column + half
    window[:, up : up + seen.shape[1], left : left + seen.shape[2]] = seen
    # torch and not numpy: its thread count is the one that users set.
    projection = (templates @ torch.from_numpy(window.reshape(3, -1).T)).numpy()  # (K, 3)
    energy = (projection**2).sum(1)
    best = int(energy.argmax())
    shape, radius, x, y = parameters[best]
    template = templates[best].numpy()
    colour = np.clip(255 * (1 - projection[best] / norms[best]), 0, 255)
    # A template a little too large dilutes the colour at its border; cubed, it hardly sees the border.
    inside = (template**3 @ window.reshape(3, -1).T) / (template**4).sum()
    rgb = np.clip(255 * (1 - inside / norms[best]), 0, 255)
    center = [(place + 0.5 + offset) / size for place, offset in ((column, x), (row, y))]
    bounds = [(CENTERS[0] + CENTERS[1]) / 2, (CENTERS[1] + CENTERS[2]) / 2]
    cell = int(np.searchsorted(bounds, center[1])) * 3 + int(np.searchsorted(bounds, center[0]))
    return Reading(
        colour=min(COLOURS, key=lambda name: float(((colour - np.array(COLOURS[name])) ** 2).sum())),
        shape=shape,
        size="small" if radius / size < SIZE_LIMIT else "large",
        place=PLACES[cell],
        x=center[0],
        y=center[1],
        radius=radius / size,
        rgb=(round(float(rgb[0])), round(float(rgb[1])), round(float(rgb[2]))),
        fit=float(energy[best] / max(float((window**2).sum()), 1e-12)),
    )


@functools.lru_cache(maxsize=4)
def _templates(size: int) -> tuple[Tensor, np.ndarray, list[tuple[str, float, float, float]], int]:
    """Return unit templates `(K, width^2)`, their norms, (shape, radius, x, y) of each, and half the width.

    Offsets are from the middle of the window's center pixel.
    """
    half = int(SIZES["large"][1] * size + 2.5)
    width = 2 * half + 1
    # The box's middle, rounded down, is up to half a pixel short; a wrong offset would dilute the colour.
    offsets = np.linspace(-0.5, 1.0, 1 + round(1.5 / (STEP * size)))
    parameters = [
        (shape, float(radius), float(x), float(y))
        for radius in np.linspace(0.115, 0.21, 12) * size
        for shape in SHAPES
        for x in offsets
        for y in offsets
    ]
    table = np.stack(
        [coverage(n, half + 0.5 + x, half + 0.5 + y, r, width, width, 8).ravel() for n, r, x, y in parameters]
    )
    norms = np.linalg.norm(table, axis=1)
    return torch.from_numpy((table / norms[:, None]).astype(np.float32)), norms, parameters, half


def agreement(pictures: Sequence[Tensor], scenes: Sequence[Scene]) -> dict[str, float]:
    """Return for each attribute the share of pictures that show it rightly.

    Args:
        pictures: uint8 `(3, size, size)` each.
        scenes: What each should show.
    """
    counts: dict[str, list[bool]] = {}
    for picture, scene in zip(pictures, scenes, strict=True):
        for name, right in check(picture, scene).items():
            counts.setdefault(name, []).append(right)
    return {name: float(torch.tensor(values, dtype=torch.float64).mean()) for name, values in counts.items()}
