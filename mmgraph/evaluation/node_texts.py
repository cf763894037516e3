"""Texts of nodes that a model writes: from the neighbourhood alone, or from the own picture and the neighbourhood.

The first is Graph2Text, the second completes a node whose text is missing. Both are scored against the true text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch

from mmgraph.datasets import Dataset, Split
from mmgraph.evaluation import losses
from mmgraph.evaluation.nodes import BATCH, Scores, graph_of, head_of, nodes_of, spread, without_graph
from mmgraph.evaluation.understanding import normal
from mmgraph.sequence import Sample

TASKS = ("describe", "name")
WRITTEN = 100
"""Texts of each task, where there are that many."""
TRAINING = 4000
"""Training texts that are looked at for the most frequent one."""


def measure(
    model: Any, dataset: Dataset, split: Split, *, limit: int | None = None, seed: int = 0
) -> dict[str, Scores]:
    """Return path -> scores of the tasks `describe` and `name`, where the data set has them.

    `exact`: the whole text is right. `word_f1`: harmonic mean of the shares of written words that are true and of true
    words that are written. `bits`: what the true text costs. Beside them the same with the graph left out (`dropped`),
    and the most frequent training text written for every node (`majority`).

    Args:
        model: In evaluation mode.
        dataset: A data set of a graph.
        split: Which split.
        limit: At most so many texts of each task.
        seed: Decides what is drawn in writing.
    """
    if graph_of(dataset) is None:
        return {}
    found: dict[str, Scores] = {}
    for task in TASKS:
        samples = spread(dataset, split, task, min(WRITTEN, limit or WRITTEN))
        if not samples:
            continue
        own = _scores(model, samples, seed)
        if getattr(model, "graph", None) is not None:
            own |= {f"dropped.{name}": each for name, each in _scores(model, without_graph(samples), seed).items()}
        usual = Counter(str(sample.meta["answer"]) for sample in dataset.evaluation("train", task, TRAINING))
        said = [min(usual, key=lambda text: (-usual[text], text))] * len(samples) if usual else []
        own |= {f"majority.{name}": each for name, each in _compared(said, samples).items()} if said else {}
        found |= {f"{task}.{name}": each for name, each in own.items()}
    return found


def word_f1(given: str, right: str) -> float:
    """Return the harmonic mean of the shares of given words that are right and of right words that are given."""
    said, true = Counter(normal(given).split()), Counter(normal(right).split())
    shared = (said & true).total()
    return 2 * shared / max(1, said.total() + true.total())


def _scores(model: Any, samples: Sequence[Sample], seed: int) -> dict[str, Scores]:
    from mmgraph import generation

    said: list[str] = []
    for start in range(0, len(samples), BATCH):
        said += generation.complete(model, samples[start : start + BATCH], seed=seed)
    spent = losses.sums(model, samples, seed)[head_of(model, samples)]
    return {**_compared(said, samples), "bits": Scores(losses.bits(spent), nodes_of(samples))}


def _compared(said: Sequence[str], samples: Sequence[Sample]) -> dict[str, Scores]:
    right = [str(sample.meta["answer"]) for sample in samples]
    exact = [float(normal(a) == normal(b)) for a, b in zip(said, right, strict=True)]
    shared = [word_f1(a, b) for a, b in zip(said, right, strict=True)]
    nodes = nodes_of(samples)
    return {"exact": Scores(torch.tensor(exact), nodes), "word_f1": Scores(torch.tensor(shared), nodes)}
