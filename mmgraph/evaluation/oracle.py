"""What an oracle reads from pictures: data sets that can tell what a picture shows (`Dataset.check`) mark drawings.

A drawing is marked by the truth behind its caption, so no network and no likeness decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmgraph.datasets import Dataset
from mmgraph.evaluation.drawing import Drawings, entry, nearest_captions
from mmgraph.evaluation.examples import Caption, stack
from mmgraph.metrics import Meaning, Score

PREFIX = "oracle_"
ALL = Meaning(
    "Oracle: all",
    "Share of pictures in which the oracle reads everything that a caption tells rightly.",
    "higher",
    headline=True,
)


def meanings(names: Iterable[str]) -> dict[str, Meaning]:
    """Return what each score of an attribute says."""
    found = {}
    for name in names:
        if name.startswith(PREFIX):
            attribute = name.removeprefix(PREFIX)
            text = f"Share of pictures in which the oracle reads the {attribute} rightly."
            found[name] = ALL if attribute == "all" else Meaning(f"Oracle: {attribute}", text, "higher")
    return found


def items(dataset: Dataset, captions: Sequence[Caption]) -> list[Any]:
    """Return the data set's item of each caption; none where it cannot tell what a picture shows."""
    found = [caption.item for caption in captions]
    return [] if type(dataset).check is Dataset.check or None in found else found


def read(dataset: Dataset, asked: Sequence[Any], pictures: Iterable[Tensor]) -> dict[str, Tensor]:
    """Return for each attribute which pictures show it rightly, `(n,)` of 0 and 1; n of those that have it."""
    found: dict[str, list[bool]] = {}
    for item, picture in zip(asked, pictures, strict=True):
        for name, right in dataset.check(item, picture).items():
            found.setdefault(PREFIX + name, []).append(right)
    return {name: torch.tensor(rights, dtype=torch.float) for name, rights in found.items()}


def score(
    drawings: Drawings,
    training: Sequence[Caption],
    *,
    dataset: Dataset,
    seed: int = 0,
    stand_ins: Mapping[str, Tensor] | None = None,
) -> dict[str, dict[str, Any]]:
    """Return the share of drawings that show each attribute, as metrics.json holds it; nothing without truth.

    `chance` is the share that is right when each caption gets the true picture of another one.

    Args:
        drawings: What was drawn; the values of each picture are added to it.
        training: Training captions; the picture of the nearest one stands beside each drawing.
        dataset: Where the captions come from.
        seed: Decides the resamples of intervals.
        stand_ins: Further pictures that stand beside the drawings, by name.
    """
    asked = items(dataset, drawings.captions)
    if not asked:
        return {}
    true = stack(drawings.captions, "the captions")
    beside = {"real": true, **(stand_ins or {})}
    if training:
        places = nearest_captions([c.text for c in drawings.captions], [c.text for c in training])
        beside["nearest_caption"] = torch.stack([training[place].picture for place in places])
    if drawings.reconstructed is not None:
        beside["reconstruction"] = drawings.reconstructed
    marked = {name: read(dataset, asked, shown) for name, shown in beside.items()}
    others = read(dataset, asked, true.roll(1, 0))
    concepts = [caption.concept for caption in drawings.captions]
    rows: dict[str, dict[str, Any]] = {}
    for name, rights in read(dataset, asked, drawings.drawn).items():
        chance = float(others[name].mean()) if len(asked) > 1 else None
        given = Score(float(rights.mean()), len(rights), chance=chance, per_picture=rights)
        rows[name] = entry(given, concepts, seed)
        rows[name]["baselines"] = {stand_in: float(found[name].mean()) for stand_in, found in marked.items()}
        if len(rights) == len(asked):
            drawings.per_picture[name] = rights
    return rows
