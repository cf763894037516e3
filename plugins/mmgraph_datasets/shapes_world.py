"""The world of shapes: what a scene is, how it is drawn, and what is true of it.

A scene holds one to three things. The places are the nine cells of a 3 x 3 grid, and two things of a scene
are always two columns or two rows apart, so they never touch and a relation between them is never in doubt.
There is no disc beside the square: at six pixels they differ in four corner pixels, and a drawing could not
be judged; every pair of these shapes differs in a tenth of its energy even when small at 16 px.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

COLOURS = {
    "red": (214, 39, 40),
    "green": (40, 150, 60),
    "blue": (40, 75, 205),
    "yellow": (250, 215, 30),
    "purple": (130, 45, 175),
    "black": (25, 25, 25),
    "orange": (240, 125, 20),
    "pink": (245, 90, 175),
}
SHAPES = ("square", "ring", "triangle", "cross", "moon", "bar")
SIZES = {"small": (0.125, 0.14), "large": (0.185, 0.20)}
"""Half the side of the box around a thing, as a share of the picture's side."""
SIZE_LIMIT = 0.1625
"""Between small and large."""
PLACES = (
    "top left",
    "top",
    "top right",
    "left",
    "center",
    "right",
    "bottom left",
    "bottom",
    "bottom right",
)
CENTERS = (0.23, 0.5, 0.77)
ROOM = 0.22
"""A thing stays within so much of its cell's center, box included: small things wander farther."""
COLOUR_JITTER = 12
MAX_OBJECTS = 3
RELATIONS = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
"""Each relation and its opposite."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing of a scene: what words say of it, and exactly where and how it is drawn.

    Args:
        colour: Key of `COLOURS`.
        shape: One of `SHAPES`.
        size: `small` or `large`.
        place: One of `PLACES`.
        x: Center, from 0 at the left to 1 at the right.
        y: Center, from 0 at the top to 1 at the bottom.
        radius: Half the side of its box.
        rgb: Its exact colour.
    """

    colour: str
    shape: str
    size: str
    place: str
    x: float
    y: float
    radius: float
    rgb: tuple[int, int, int]

    @property
    def cell(self) -> tuple[int, int]:
        """Row and column of its place."""
        return divmod(PLACES.index(self.place), 3)


@dataclass(frozen=True, slots=True)
class Scene:
    """The things of one picture, in no particular order."""

    things: tuple[Thing, ...]

    @property
    def key(self) -> str:
        """The attributes in a fixed order, places left out: what the grouped protocol keeps together."""
        return " / ".join(sorted(f"{t.size} {t.colour} {t.shape}" for t in self.things))


def apart(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether two cells may both be filled."""
    return max(abs(a[0] - b[0]), abs(a[1] - b[1])) == 2


@functools.cache
def layouts(count: int) -> tuple[tuple[int, ...], ...]:
    """Return every ordered choice of `count` places that keeps things apart."""
    return tuple(
        chosen
        for chosen in itertools.permutations(range(9), count)
        if all(apart(divmod(a, 3), divmod(b, 3)) for a, b in itertools.combinations(chosen, 2))
    )


def relations(a: Thing, b: Thing) -> list[str]:
    """Return what `a` clearly is of `b`: two columns or two rows apart."""
    (row_a, column_a), (row_b, column_b) = a.cell, b.cell
    found = []
    if abs(column_a - column_b) == 2:
        found.append("left of" if column_a < column_b else "right of")
    if abs(row_a - row_b) == 2:
        found.append("above" if row_a < row_b else "below")
    return found


def scene(
    world_seed: int,
    number: int,
    *,
    max_objects: int = 2,
    colours: Sequence[str] = tuple(COLOURS),
    shapes: Sequence[str] = SHAPES,
) -> Scene:
    """Return scene `number` of a world; every attribute is uniform and independent of the others."""
    rng = random.Random(f"shapes:{world_seed}:{number}")
    places = rng.choice(layouts(rng.randint(1, max_objects)))
    return Scene(tuple(draw_thing(rng, place, colours, shapes) for place in places))


def draw_thing(rng: random.Random, place: int, colours: Sequence[str], shapes: Sequence[str]) -> Thing:
    """Return a thing at the place of this number; all else is uniform."""
    colour, shape, size = rng.choice(colours), rng.choice(shapes), rng.choice(tuple(SIZES))
    radius = rng.uniform(*SIZES[size])
    row, column = divmod(place, 3)
    wander = ROOM - radius
    x, y = (CENTERS[c] + rng.uniform(-wander, wander) for c in (column, row))
    r, g, b = (max(0, min(255, v + rng.randint(-COLOUR_JITTER, COLOUR_JITTER))) for v in COLOURS[colour])
    return Thing(colour, shape, size, PLACES[place], x, y, radius, (r, g, b))


def coverage(shape: str, x: float, y: float, radius: float, width: int, height: int, samples: int) -> np.ndarray:
    """Return the share of each pixel that a shape covers, `(height, width)`; all lengths in pixels."""
    u = ((np.arange(width * samples) + 0.5) / samples - x) / radius
    v = (((np.arange(height * samples) + 0.5) / samples - y) / radius)[:, None]
    inside = _inside(shape, u[None], v)
    return inside.reshape(height, samples, width, samples).mean((1, 3), dtype=np.float32)


def _inside(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Whether points of the box [-1, 1]^2 are inside; v points down."""
    box = np.maximum(np.abs(u), np.abs(v)) <= 1
    if shape == "square":
        return box
    if shape == "ring":
        distance = u * u + v * v
        return (distance <= 1) & (distance >= 0.3)
    if shape == "triangle":
        return box & (np.abs(u) <= (v + 1) / 2)
    if shape == "cross":
        return box & ((np.abs(u - v) <= 0.42) | (np.abs(u + v) <= 0.42))
    if shape == "moon":
        left = u - 0.32
        return (left * left + v * v <= 1) & ((left - 0.55) ** 2 + v * v >= 0.7)
    if shape == "bar":
        return box & (np.abs(v) <= 0.4)
    raise ValueError(f"there is no shape '{shape}'; shapes are {', '.join(SHAPES)}.")


def render(pictured: Scene, size: int) -> Tensor:
    """Return the picture of a scene, uint8 `(3, size, size)`, white background, anti-aliased.

    Each pixel is the mean of at least 16 samples (64 below 48 px).
    """
    picture = np.full((3, size, size), 255.0, np.float32)
    samples = 8 if size < 48 else 4
    for t in pictured.things:
        left, top = (max(0, int((c - t.radius) * size)) for c in (t.x, t.y))
        right, bottom = (min(size, int((c + t.radius) * size) + 1) for c in (t.x, t.y))
        share = coverage(
            t.shape,
            t.x * size - left,
            t.y * size - top,
            t.radius * size,
            right - left,
            bottom - top,
            samples,
        )
        ink = (255.0 - np.array(t.rgb, np.float32))[:, None, None]
        picture[:, top:bottom, left:right] -= share * ink
    return torch.from_numpy(np.rint(picture).astype(np.uint8))
