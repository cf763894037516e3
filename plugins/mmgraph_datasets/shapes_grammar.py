"""The language of the world of shapes: captions, questions, and the exact entropy of captions."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mmgraph_datasets.shapes_world import (
    COLOURS,
    PLACES,
    RELATIONS,
    SHAPES,
    SIZES,
    Scene,
    Thing,
    layouts,
    relations,
)

COUNTS = ("one", "two", "three")
YES, NO = "yes", "no"
PROBE = "probe"
ANSWERS: dict[str, tuple[str, ...]] = {
    "colour": tuple(COLOURS),
    "shape": SHAPES,
    "size": tuple(SIZES),
    "place": PLACES,
    "count": COUNTS,
    "exists": (NO, YES),
    "relation": (NO, YES),
    "hop_colour": tuple(COLOURS),
    "hop_shape": SHAPES,
    PROBE: (NO, YES),
}
"""Every kind of question and all of its answers; probes are made in `shapes_cooccurrence`."""
USUAL = tuple(kind for kind in ANSWERS if kind != PROBE)
"""The kinds that are asked where none are chosen."""

_TOLD = (
    (),
    ("shape",),
    ("colour",),
    ("colour", "shape"),
    ("size", "shape"),
    ("size", "colour"),
    ("size", "colour", "shape"),
    ("place",),
)
"""Attributes by which a thing may be singled out, shortest first."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question, its right answer, and which of `ANSWERS` it is."""

    kind: str
    text: str
    answer: str


def phrase(thing: Thing) -> str:
    """Return `a small red square`."""
    return f"a {thing.size} {thing.colour} {thing.shape}"


def canonical(scene: Scene) -> str:
    """Return the one caption by which a scene is named: things in reading order, each with its place."""
    things = sorted(scene.things, key=lambda t: t.cell)
    return " and ".join(f"{phrase(t)} at the {t.place}" for t in things)


def caption(scene: Scene, rng: random.Random) -> str:
    """Return one of the captions of a scene: things in random order, in one of the forms of `forms`."""
    things = rng.sample(scene.things, len(scene.things))
    form = rng.choice(forms(len(things)))
    if form == "place first":
        return " and ".join(f"at the {t.place} {phrase(t)}" for t in things)
    if form == "relation":
        return f"{phrase(things[0])} {rng.choice(relations(*things))} {phrase(things[1])}"
    return " and ".join(f"{phrase(t)} at the {t.place}" for t in things)


def forms(count: int) -> tuple[str, ...]:
    """Return the forms that a caption of `count` things may take, all equally likely."""
    return ("place last", "place first", "relation") if count == 2 else ("place last", "place first")


def caption_entropy(
    max_objects: int,
    *,
    pairs: int,
    allowed: int | None = None,
    sizes: int = len(SIZES),
    paraphrases: bool = True,
) -> float:
    """Return the exact entropy of a caption in nats: no language model can have a lower expected loss.

    Every string has one reading (form, order, attributes), so the entropy is that of the readings:
    H = H(count) + sum_n p(n) (ln forms_n + H(attributes | form)).

    Args:
        max_objects: Largest number of things; each number is equally likely.
        pairs: Pairs of colour and shape in the world.
        allowed: Pairs that this split may show; scenes with another pair are left out. None: all.
        sizes: Number of sizes.
        paraphrases: Whether captions come from `caption`; else from `canonical`.
    """
    allowed = pairs if allowed is None else allowed
    weights = [(allowed / pairs) ** count for count in range(1, max_objects + 1)]
    entropy = 0.0
    for count, weight in enumerate(weights, start=1):
        share = weight / sum(weights)
        looks = count * math.log(allowed * sizes)
        if paraphrases:
            placed = math.log(len(layouts(count)))
            kinds = forms(count)
            told = sum(_relation_entropy() if form == "relation" else placed for form in kinds) / len(kinds)
            inside = math.log(len(kinds)) + looks + told
        else:
            inside = looks + math.log(len(layouts(count)) / math.factorial(count))
        entropy += share * (inside - math.log(share))
    return entropy


def _relation_entropy() -> float:
    """Entropy of the relation word of two things placed uniformly."""
    counts: Counter[str] = Counter()
    for first, second in layouts(2):
        a, b = (Thing("", "", "", PLACES[place], 0, 0, 0, (0, 0, 0)) for place in (first, second))
        told = relations(a, b)
        for word in told:
            counts[word] += 12 // len(told)  # one or two relations hold: whole numbers keep it exact
    total = sum(counts.values())
    return -sum(n / total * math.log(n / total) for n in counts.values())


def ask(scene: Scene, kind: str, rng: random.Random, absent: tuple[str, str] | None = None) -> list[Question]:
    """Return the questions of a kind: one, none where it does not apply, or a yes and a no.

    Args:
        scene: What is asked about.
        kind: One of `ANSWERS`.
        rng: Chooses thing and wording.
        absent: A (colour, shape) that the scene does not show, for the no of `exists`.
    """
    things = scene.things
    if kind == "count":
        return [Question(kind, "how many things are there ?", COUNTS[len(things) - 1])]
    if kind == "exists":
        one = rng.choice(things)
        asked = [(one.colour, one.shape, YES)] + ([(*absent, NO)] if absent else [])
        return [
            Question(kind, f"is there {'an' if colour[0] in 'aeiou' else 'a'} {colour} {shape} ?", answer)
            for colour, shape, answer in asked
        ]
    if kind == "relation":
        return _relation(things, rng)
    if kind.startswith("hop_"):
        return _hop(things, kind, rng)
    target = rng.choice(things)
    told = _single_out(things, target, {kind}, rng)
    if told is None:
        return []
    text = f"where is the {told} ?" if kind == "place" else f"what {kind} is the {told} ?"
    return [Question(kind, text, getattr(target, kind))]


def _relation(things: Sequence[Thing], rng: random.Random) -> list[Question]:
    if len(things) < 2:
        return []
    a, b = rng.sample(things, 2)
    told = [_single_out(things, t, {"place"}, rng) for t in (a, b)]
    if None in told:
        return []
    true = rng.choice(relations(a, b))
    return [
        Question("relation", f"is the {told[0]} {word} the {told[1]} ?", answer)
        for word, answer in ((true, YES), (RELATIONS[true], NO))
    ]


def _hop(things: Sequence[Thing], kind: str, rng: random.Random) -> list[Question]:
    """Ask for an attribute of the one thing that stands in a relation to another, which is singled out."""
    options = []
    for a, b in itertools.permutations(things, 2):
        for word in relations(a, b):
            others = [t for t in things if t is not b]
            if sum(_leans(t, b, word) for t in others) == 1:
                options.append((a, word, b))
    rng.shuffle(options)
    for a, word, b in options:
        told = _single_out(things, b, {"place"}, rng)
        if told not in (None, "thing"):
            attribute = kind.removeprefix("hop_")
            return [Question(kind, f"what {attribute} is the thing {word} the {told} ?", getattr(a, attribute))]
    return []


def _leans(a: Thing, b: Thing, word: str) -> bool:
    """Whether `a` is even one column or row to that side of `b`: then the word might mean it too."""
    (row, column), (other_row, other_column) = a.cell, b.cell
    return {
        "left of": column < other_column,
        "right of": column > other_column,
        "above": row < other_row,
        "below": row > other_row,
    }[word]


def _single_out(things: Sequence[Thing], target: Thing, hidden: set[str], rng: random.Random) -> str | None:
    """Return words that fit `target` alone and tell none of `hidden`, or None."""
    found = []
    for told in _TOLD:
        if hidden & set(told):
            continue
        fitting = [t for t in things if all(getattr(t, name) == getattr(target, name) for name in told)]
        if len(fitting) == 1:
            words = [getattr(target, name) for name in ("size", "colour") if name in told]
            words.append(target.shape if "shape" in told else "thing")
            found.append(" ".join(words) + (f" at the {target.place}" if "place" in told else ""))
    return rng.choice(found) if found else None
