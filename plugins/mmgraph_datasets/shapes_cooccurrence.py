"""Shapes that come together more often than chance, and probes that tell who relies on it.

A model that has always met the bar beside the ring can say "there is a bar" without looking for one. Whether it
does shows in questions for a shape that is not there, above all where its usual companion is (Li et al., Evaluating
Object Hallucination in Large Vision-Language Models, 2023, arXiv 2305.10355).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from mmgraph_datasets.shapes_grammar import NO, PROBE, YES, Question
from mmgraph_datasets.shapes_world import PLACES, Scene, draw_thing, layouts

PROBES = tuple(f"{PROBE}_{name}" for name in ("present", "random", "companion", "popular", "adversarial"))
"""Every kind of probe in an evaluation: see `probe_kind`."""
TRIES = 64


def pair(shapes: Sequence[str]) -> tuple[str, str]:
    """Return the shape that brings another one with it, and that companion: of all shapes, ring and bar."""
    return shapes[1], shapes[-1]


def lures(scene: Scene, shapes: Sequence[str]) -> bool:
    """Whether a scene shows the first of the pair without its companion."""
    first, companion = pair(shapes)
    shown = {thing.shape for thing in scene.things}
    return first in shown and companion not in shown


def bias(
    scenes: list[Scene],
    numbers: Sequence[int],
    cooccurrence: float,
    *,
    shapes: Sequence[str],
    colours: Sequence[str],
    seed: str,
    allowed: Callable[[int, Scene], bool],
) -> None:
    """Put the companion into scenes of these numbers that lack it beside the first, with a probability.

    Args:
        scenes: All scenes of the world; changed in place.
        numbers: Which of them may change.
        cooccurrence: The probability.
        shapes: All shapes of the world.
        colours: All colours of the world.
        seed: Decides which scenes change, and how, each by its number.
        allowed: Whether a scene may stand at this number; the companion is drawn anew until it may.
    """
    for number in numbers:
        rng = random.Random(f"{seed}:{number}")
        if lures(scenes[number], shapes) and rng.random() < cooccurrence:
            changed = (accompany(scenes[number], shapes, colours, rng) for _ in range(TRIES))
            scenes[number] = next((scene for scene in changed if allowed(number, scene)), scenes[number])


def accompany(scene: Scene, shapes: Sequence[str], colours: Sequence[str], rng: random.Random) -> Scene:
    """Return a scene that `lures` with the companion in place of another thing, or as a second.

    A thing in the middle has no room beside it, so a lone one moves to make room.
    """
    first, companion = pair(shapes)
    kept = next(thing for thing in scene.things if thing.shape == first)
    others = [thing for thing in scene.things if thing is not kept]
    if others:
        out = rng.choice(others)
        things, place = [thing for thing in scene.things if thing is not out], PLACES.index(out.place)
    else:
        home, place = rng.choice(layouts(2))
        things = [draw_thing(rng, home, (kept.colour,), (first,))]
    return Scene((*things, draw_thing(rng, place, colours, (companion,))))


def probe_kind(scene: Scene, shape: str, shapes: Sequence[str]) -> str:
    """Return which of `PROBES` the question for a shape is.

    For the companion: `companion` where it is shown, `adversarial` where the first is shown without it, else
    `popular`, for a biased world shows it often. For any other shape: `present` or `random`.
    """
    first, companion = pair(shapes)
    shown = {thing.shape for thing in scene.things}
    if shape != companion:
        return f"{PROBE}_present" if shape in shown else f"{PROBE}_random"
    if companion in shown:
        return f"{PROBE}_companion"
    return f"{PROBE}_adversarial" if first in shown else f"{PROBE}_popular"


def probe(scene: Scene, shape: str, shapes: Sequence[str]) -> Question:
    """Return `is there a ring ?` with its answer."""
    answer = YES if any(thing.shape == shape for thing in scene.things) else NO
    return Question(probe_kind(scene, shape, shapes), f"is there a {shape} ?", answer)


def probes(scene: Scene, shapes: Sequence[str], rng: random.Random, *, training: bool) -> list[Question]:
    """Return the probes of a scene.

    In training a shape that it shows and one that it does not, each drawn alike: the companion is a shape as any
    other. In evaluation the companion, and one shown and one absent shape of the others.
    """
    companion = pair(shapes)[1]
    shown = {thing.shape for thing in scene.things}
    asked = [] if training else [companion]
    for present in (True, False):
        found = [s for s in shapes if (s in shown) == present and (training or s != companion)]
        if found:
            asked.append(rng.choice(found))
    if training and len(asked) < 2:  # all shapes at once: a yes without a no would unbalance them
        return []
    return [probe(scene, shape, shapes) for shape in asked]
