"""Drawings of tasks that give more than a caption, beside the picture that was given: leaving it as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmgraph.datasets import Dataset, Split
from mmgraph.evaluation import drawing, examples, oracle
from mmgraph.evaluation.drawing import Drawings, entry
from mmgraph.evaluation.examples import Caption, stack
from mmgraph.metrics import Meaning, Score

SECTION = "drawing"
"""Of metrics.json, and what their drawings are kept under: task, then population."""
GIVEN = "given_picture"
ERROR = "difference"
MEANINGS = {
    ERROR: Meaning("Difference (of 255)", "Mean absolute difference of a pixel from the wanted picture.", "lower")
}


def measure(
    model: Any,
    dataset: Dataset,
    splits: Mapping[str, Split],
    training: Sequence[Caption],
    *,
    most: int,
    looked_at: int,
    guidance: float | Mapping[str, float] | None = None,
    num_steps: int | None = None,
    seed: int = 0,
    tell: Callable[[str], None] = lambda line: None,
) -> tuple[dict[str, dict[str, Any]], dict[str, Drawings]]:
    """Return scores by task and population, as metrics.json holds them, and the drawings by `task.population`.

    Args:
        model: A trained model.
        dataset: Its data set.
        splits: The split of each population.
        training: Training captions; the picture of the nearest one is what words alone could find.
        most: Drawings of each task and population.
        looked_at: Samples of each that are chosen from.
        guidance: Scale of classifier-free guidance; None: the model's default.
        num_steps: Steps of the image head's sampler; None: the model's default.
        seed: Decides the noise and resamples.
        tell: Called with one line at the start of each part.
    """
    scores: dict[str, dict[str, Any]] = {}
    drawn: dict[str, Drawings] = {}
    for task in examples.drawing_tasks(dataset, splits["unseen"]):
        for population, split in splits.items():
            chosen = examples.pick(examples.requests(dataset, split, task, looked_at), most)[:most]
            if not chosen:
                continue
            tell(f"drawing {len(chosen)} {population} pictures of the task {task}")
            result = drawing.draw(model, chosen, guidance=guidance, num_steps=num_steps, seed=seed)
            result.section = SECTION
            scores.setdefault(task, {})[population] = score(result, training, dataset=dataset, seed=seed)
            drawn[f"{task}.{population}"] = result
    return scores, drawn


def score(
    drawings: Drawings, training: Sequence[Caption], *, dataset: Dataset, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Return what an oracle reads from drawings, and how far they are from the wanted pictures.

    Args:
        drawings: What was drawn; the values of each picture are added to it.
        training: Training captions with their pictures.
        dataset: Where the requests come from.
        seed: Decides the resamples of intervals.
    """
    true, given = stack(drawings.captions, "the requests"), _given(drawings.captions)
    stand_ins = {GIVEN: given} if given is not None else {}
    rows = oracle.score(drawings, training, dataset=dataset, seed=seed, stand_ins=stand_ins)
    error = _difference(drawings.drawn, true)
    concepts = [caption.concept for caption in drawings.captions]
    rows[ERROR] = entry(Score(float(error.mean()), len(error), per_picture=error), concepts, seed)
    beside = {**stand_ins, **({} if drawings.reconstructed is None else {"reconstruction": drawings.reconstructed})}
    rows[ERROR]["baselines"] = {name: float(_difference(shown, true).mean()) for name, shown in beside.items()}
    drawings.per_picture[ERROR] = error
    return rows


def _given(captions: Sequence[Caption]) -> Tensor | None:
    """Return the pictures that were given, unchanged; None unless each has one of the wanted picture's size."""
    shown = [caption.shown for caption in captions]
    found = [
        one
        for one, caption in zip(shown, captions, strict=True)
        if one is not None and one.shape == caption.picture.shape
    ]
    return torch.stack(found) if len(found) == len(captions) else None


def _difference(pictures: Tensor, true: Tensor) -> Tensor:
    return (pictures.float() - true.float()).abs().flatten(1).mean(1)
