"""What needs no training: the most frequent answer, what the neighbours say, and the most that can be known."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor

from mmgraph.datasets import Dataset, Split
from mmgraph.evaluation.nodes import ceiling, graph_of
from mmgraph.sequence import Sample

PICTURES = 200
"""Nodes whose pictures are compared, where there are that many."""


def yardsticks(dataset: Dataset, split: Split) -> dict[str, dict[str, float]]:
    """Return yardstick -> score: `accuracy` of answers about nodes, `pixel_error` of their pictures, lower is better.

    `majority`: the most frequent answer of training nodes, and their mean picture. `neighbour copy`: the most
    frequent answer among neighbours whose answer training knows, and the mean of the neighbours' pictures. `ceiling`:
    the exact posterior, where the data set has one (`posterior`).

    Args:
        dataset: A data set of a graph.
        split: Whose nodes are scored.
    """
    found: dict[str, dict[str, float]] = {}
    graph = graph_of(dataset)
    assert graph is not None
    neighbours: dict[int, list[int]] = {}
    for sender, receiver in graph.edge_index.t().tolist():
        neighbours.setdefault(receiver, []).append(sender)
    asked = dataset.evaluation(split, "ask") if dataset.tasks.get("ask", 0) > 0 else []
    if asked:
        known = _answers(dataset.evaluation("train", "ask"))
        common = {kind: Counter(answers.values()).most_common(1)[0][0] for kind, answers in known.items()}
        majority, copied = [], []
        for sample in asked:
            kind, item, answer = sample.meta.get("kind"), int(sample.meta["item"]), str(sample.meta["answer"])
            told = [known[kind][other] for other in neighbours.get(item, []) if other in known.get(kind, {})]
            usual = common.get(kind, "")
            majority.append(usual == answer)
            copied.append((Counter(told).most_common(1)[0][0] if told else usual) == answer)
        found["majority"] = {"accuracy": sum(majority) / len(majority)}
        found["neighbour copy"] = {"accuracy": sum(copied) / len(copied)}
        best = ceiling(dataset, asked)
        if best:
            found["ceiling"] = {"accuracy": float(best["ceiling.accuracy"].values.mean())}
    drawn = [node for node in dataset.items(split) if bool(graph.present["image"][node])][:PICTURES]
    training = [node for node in dataset.items("train") if bool(graph.present["image"][node])]
    if drawn and training:
        mean = _mean(dataset, training[:PICTURES])
        errors: dict[str, list[float]] = {"majority": [], "neighbour copy": []}
        for node in drawn:
            near = [other for other in neighbours.get(node, []) if bool(graph.present["image"][other])]
            for name, shown in (("majority", mean), ("neighbour copy", _mean(dataset, near) if near else mean)):
                errors[name].append(float((shown - dataset.picture(node).float() / 255).square().mean()))
        for name, values in errors.items():
            found.setdefault(name, {})["pixel_error"] = sum(values) / len(values)
    return found


def _answers(samples: list[Sample]) -> dict[Any, dict[int, str]]:
    known: dict[Any, dict[int, str]] = {}
    for sample in samples:
        known.setdefault(sample.meta.get("kind"), {})[int(sample.meta["item"])] = str(sample.meta["answer"])
    return known


def _mean(dataset: Dataset, nodes: list[int]) -> Tensor:
    return torch.stack([dataset.picture(node).float() / 255 for node in nodes]).mean(0)
