"""What no words tell: the shade of a thing's colour, and the request for the same thing at another place.

A model that passes the wish on in words cannot pass on the shade; one whose pictures read the given picture can.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

from mmgraph.errors import UsageError
from mmgraph_datasets.shapes_world import CENTERS, COLOURS, PLACES, Scene, Thing

Rgb = tuple[int, int, int]

SHADES: dict[str, tuple[Rgb, Rgb, Rgb]] = {
    "red": ((222, 75, 82), COLOURS["red"], (132, 22, 24)),
    "green": ((110, 200, 125), COLOURS["green"], (24, 104, 39)),
    "blue": ((105, 140, 235), COLOURS["blue"], (18, 32, 130)),
    "yellow": ((252, 236, 118), COLOURS["yellow"], (195, 195, 25)),
    "purple": ((160, 88, 205), COLOURS["purple"], (82, 22, 115)),
    "black": ((72, 65, 72), (38, 38, 38), (0, 0, 0)),
    "orange": ((247, 147, 68), COLOURS["orange"], (190, 106, 12)),
    "pink": ((250, 148, 206), COLOURS["pink"], (208, 60, 148)),
}
"""Lighter, plain and darker: at least 50 apart, and each nearer to its own colour than to another by 10 or more.

There is little below black, so its plain shade is lifted to leave room.
"""
LIGHTER, PLAIN, DARKER = range(3)
CHOICES = {1: (PLAIN,), 2: (LIGHTER, DARKER), 3: (LIGHTER, PLAIN, DARKER)}
"""Which of them a world of so many shades has."""
CALM = 3
"""Things of several shades vary around each by so much less than things of one colour."""


def give_shades(scenes: list[Scene], shades: int, *, seed: str) -> None:
    """Give each thing of the scenes one of so many shades of its colour, all equally likely; one: leave them alone.

    Args:
        scenes: Changed in place.
        shades: How many, 1 to 3.
        seed: With a scene's number, decides its shades.
    """
    if shades == 1:
        return
    for number, scene in enumerate(scenes):
        rng = random.Random(f"{seed}:{number}")
        scenes[number] = Scene(tuple(_shaded(thing, rng.choice(CHOICES[shades])) for thing in scene.things))


def _shaded(thing: Thing, choice: int) -> Thing:
    shade, plain = SHADES[thing.colour][choice], COLOURS[thing.colour]
    varied = zip(shade, thing.rgb, plain, strict=True)
    r, g, b = (max(0, min(255, level + round((own - usual) / CALM))) for level, own, usual in varied)
    return replace(thing, rgb=(r, g, b))


def nearest_shade(rgb: Rgb, shades: int) -> tuple[str, int]:
    """Return the colour and the shade, as its place in `SHADES`, that are nearest in a world of so many shades."""

    def distance(known: tuple[str, int]) -> float:
        return sum((a - b) ** 2 for a, b in zip(rgb, SHADES[known[0]][known[1]], strict=True))

    return min(itertools.product(SHADES, CHOICES[shades]), key=distance)


def check_movable(things: int) -> None:
    """Refuse to move one of several things: no words here say which.

    Raises:
        UsageError: If there is more than one.
    """
    if things > 1:
        raise UsageError(f"the task move needs scenes of one thing, max_objects of 1; here there may be {things}.")


def moved(scene: Scene, place: int) -> Scene:
    """Return a scene of one thing with this thing, exactly as it is, at the place of this number.

    It stands as far from the middle of its new cell as it stood from that of the old one.
    """
    check_movable(len(scene.things))
    (thing,) = scene.things
    (old_row, old_column), (row, column) = thing.cell, divmod(place, 3)
    x, y = thing.x - CENTERS[old_column] + CENTERS[column], thing.y - CENTERS[old_row] + CENTERS[row]
    return Scene((replace(thing, place=PLACES[place], x=x, y=y),))


def request(place: int, rng: random.Random | None = None) -> str:
    """Return `the same at the top left`, or one of two wordings drawn from `rng`."""
    return (rng.choice(_WORDINGS) if rng is not None else _WORDINGS[0]).format(PLACES[place])


_WORDINGS = ("the same at the {}", "at the {} the same")
REQUESTS = tuple(wording.format(place) for wording in _WORDINGS for place in PLACES)
"""All that `request` may return."""
