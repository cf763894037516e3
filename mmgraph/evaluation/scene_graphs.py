"""Scene graphs that a model writes, edge after edge or pair by pair: are they right, possible, free of the order?"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import torch

from mmgraph.datasets import Dataset, Split
from mmgraph.evaluation.nodes import BATCH, Scores
from mmgraph.sequence import Sample

SCENES = 60
"""Scenes of each task, where there are that many."""
SAMPLES = 4000
"""Samples that are looked at for them."""
INVERSE = {"right of": "left of", "below": "above"}
RELATIONS = ("left of", "above")
NOTHING = "nothing"
Edge = tuple[str, str, str]


def measure(
    model: Any, dataset: Dataset, split: Split, *, limit: int | None = None, seed: int = 0
) -> dict[str, Scores]:
    """Return path -> scores of each task whose samples tell `edges` and `nodes`; nothing for other data sets.

    `edge_f1`: harmonic mean of the shares of given edges that are true and of true edges that are given. `valid`:
    everything that was written is an edge between two of the nodes, once, and no relation goes in a circle.
    `order_changes`: share of edges that are given for one order of the nodes only (0 for who does not depend on it).

    Args:
        model: In evaluation mode.
        dataset: A data set with `reordered(sample)`.
        split: Which split.
        limit: At most so many scenes of each task.
        seed: Decides what is drawn in writing.
    """
    if not hasattr(dataset, "reordered"):
        return {}
    found: dict[str, Scores] = {}
    for task in (task for task, weight in dataset.tasks.items() if weight > 0):
        known = [sample for sample in dataset.evaluation(split, task, SAMPLES) if "edges" in sample.meta]
        scenes = [list(group) for _, group in itertools.groupby(known, key=lambda sample: sample.meta["item"])]
        count = min(SCENES, limit or SCENES, len(scenes))
        chosen = [scenes[place * len(scenes) // count] for place in range(count)]
        if not chosen:
            continue
        said = _written(model, chosen, seed)
        other = _written(model, [[dataset.reordered(sample) for sample in scene] for scene in chosen], seed)
        values: dict[str, list[float]] = {"edge_f1": [], "valid": [], "order_changes": []}
        for scene, (edges, good), (again, _) in zip(chosen, said, other, strict=True):
            values["edge_f1"].append(f1(edges, scene[0].meta["edges"]))
            values["valid"].append(float(good))
            values["order_changes"].append(1 - f1(edges, again))
        items = tuple(int(scene[0].meta["item"]) for scene in chosen)
        found |= {f"{task}.{name}": Scores(torch.tensor(own), items) for name, own in values.items()}
    return found


def f1(given: Collection[Edge], true: Collection[Edge]) -> float:
    """Return the F1 of edges; 1 where there are none and none are given."""
    shared = len(set(given) & set(true))
    total = len(set(given)) + len(set(true))
    return 2 * shared / total if total else 1.0


def read_edges(text: str, nodes: Sequence[str]) -> tuple[set[Edge], bool]:
    """Return the edges of `a left of b ; c above d`, and whether all that is written is an edge, each once.

    Args:
        text: What was written.
        nodes: Names of the nodes.
    """
    edges: set[Edge] = set()
    good = True
    parts = [" ".join(part.split()) for part in text.lower().split(";")]
    for part in parts if parts != [NOTHING] else []:
        edge = next((found for found in _possible(nodes) if " ".join(found) == part), None)
        good = good and edge is not None and edge not in edges
        edges |= {edge} if edge is not None else set()
    return edges, good and circle_free(edges)


def read_pair(text: str, pair: tuple[str, str]) -> tuple[set[Edge], bool]:
    """Return the edges of `left of and below` between the two nodes of a pair, and whether that can be."""
    said = [" ".join(part.split()) for part in text.lower().split(" and ")]
    if said == [NOTHING]:
        return set(), True
    first, second = pair
    edges = {(first, each, second) for each in said if each in RELATIONS}
    edges |= {(second, INVERSE[each], first) for each in said if each in INVERSE}
    return edges, len(edges) == len(said) and circle_free(edges)


def circle_free(edges: Iterable[Edge]) -> bool:
    """Whether each relation could be an order: nothing is left of itself, by any number of steps."""
    held = list(edges)
    for relation in {relation for _, relation, _ in held}:
        left = {(a, b) for a, kind, b in held if kind == relation}
        while left:
            heads = {b for _, b in left}
            kept = {(a, b) for a, b in left if a in heads}
            if kept == left:
                return False
            left = kept
    return True


def _possible(nodes: Sequence[str]) -> list[Edge]:
    return [(a, relation, b) for a, b in itertools.permutations(nodes, 2) for relation in RELATIONS]


def _written(model: Any, scenes: Sequence[Sequence[Sample]], seed: int) -> list[tuple[set[Edge], bool]]:
    """Return the edges of each scene, and whether they are possible."""
    from mmgraph import generation

    flat = list(itertools.chain(*scenes))
    said: list[str] = []
    for start in range(0, len(flat), BATCH):
        said += generation.complete(model, flat[start : start + BATCH], seed=seed)
    texts = iter(said)
    found = []
    for scene in scenes:
        parts = []
        for sample in scene:
            text = next(texts)
            pair = sample.meta.get("pair")
            parts.append(read_pair(text, pair) if pair is not None else read_edges(text, sample.meta["nodes"]))
        edges = set().union(*(edges for edges, _ in parts))
        found.append((edges, all(good for _, good in parts) and circle_free(edges)))
    return found
