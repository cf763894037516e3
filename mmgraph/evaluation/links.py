r"""Link prediction: where the joined pair stands among pairs that are not joined, by PyG's own metrics.

The score of a pair is how much cheaper a yes is than a no, \( \log p(\text{yes}) - \log p(\text{no}) \): a model that
answers questions needs no head of its own for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mmgraph.datasets import Dataset, Split
from mmgraph.evaluation import losses
from mmgraph.evaluation.nodes import Scores, graph_of, head_of
from mmgraph.sequence import Sample

QUERIES = 50
"""Joined pairs that are ranked, where there are that many."""
SAMPLES = 20_000
"""Samples that are looked at for them."""
HITS = (1, 3, 10)


def measure(
    model: Any, dataset: Dataset, split: Split, *, limit: int | None = None, seed: int = 0
) -> dict[str, Scores]:
    """Return path -> scores of the task `link`; nothing where the data set does not ask for links.

    `link.mrr` and `link.hits_K` stand beside what guessing gives (`link.chance`) and beside ranking by the number of
    shared neighbours (`link.common_neighbours`), which hard negatives are chosen to mislead.

    Args:
        model: In evaluation mode.
        dataset: A data set of a graph.
        split: Which split.
        limit: At most so many joined pairs.
        seed: Decides which of equal scores stands first.
    """
    if graph_of(dataset) is None or dataset.tasks.get("link", 0) <= 0:
        return {}
    known = queries(dataset.evaluation(split, "link", SAMPLES))
    count = min(QUERIES, limit or QUERIES, len(known))
    asked = [known[place * len(known) // count] for place in range(count)]
    if not asked:
        return {}
    flat = [replace(sample, key=key) for key, sample in enumerate(itertools.chain(*asked))]
    scores = score(model, flat, seed).split([len(query) for query in asked])
    found = ranked(asked, scores, seed)
    links = getattr(dataset, "links", None)
    if links is not None:
        shared = [links.common_neighbours(q[0].meta["item"], [s.meta["other"] for s in q]) for q in asked]
        found |= {f"common_neighbours.{name}": each for name, each in ranked(asked, shared, seed).items()}
    sizes = torch.tensor([float(len(query)) for query in asked])
    harmonic = torch.stack([(1 / torch.arange(1, int(size) + 1)).sum() / size for size in sizes])
    nodes = found["mrr"].nodes
    found["chance.mrr"] = Scores(harmonic, nodes)
    found |= {f"chance.hits_{k}": Scores((k / sizes).clamp_max(1), nodes) for k in HITS}
    return {f"link.{name}": each for name, each in found.items()}


def queries(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Return the samples by query, those left out that a limit has cut off."""
    found = [list(group) for _, group in itertools.groupby(samples, key=lambda sample: sample.meta["query"])]
    if len(found) > 1 and len(found[-1]) < len(found[0]):
        found.pop()
    return [query for query in found if len(query) > 1]


def score(model: Any, samples: Sequence[Sample], seed: int = 0) -> Tensor:
    """Return how much rather each sample is answered with yes than with no, in nats `(n,)`."""
    spent = []
    for answer in ("no", "yes"):
        said = [_answered(sample, answer) for sample in samples]
        spent.append(losses.sums(model, said, seed)[head_of(model, said)][0, :, 0])
    return spent[0] - spent[1]


def ranked(asked: Sequence[Sequence[Sample]], scores: Sequence[Tensor], seed: int = 0) -> dict[str, Scores]:
    """Return MRR and hits of each query, by PyG's metrics; equal scores stand in random order.

    Args:
        asked: The samples of each query; `meta["joined"]` tells the joined pair.
        scores: Of each query `(n,)`, more is likelier.
        seed: Decides the order of equal scores.
    """
    from torch_geometric.metrics import LinkPredHitRatio, LinkPredMRR

    generator = torch.Generator().manual_seed(seed)
    made: dict[str, Any] = {"mrr": LinkPredMRR(max(len(query) for query in asked))}
    made |= {f"hits_{k}": LinkPredHitRatio(k) for k in HITS}
    values: dict[str, list[float]] = {name: [] for name in made}
    for query, own in zip(asked, scores, strict=True):
        shuffled = torch.randperm(len(own), generator=generator)
        order = shuffled[own[shuffled].argsort(descending=True, stable=True)]
        joined = torch.tensor([place for place, sample in enumerate(query) if sample.meta["joined"]])
        truth = torch.stack((torch.zeros_like(joined), joined))
        for name, metric in made.items():
            metric.reset()
            metric.update(order[None, : metric.k], truth)
            values[name].append(float(metric.compute()))
    nodes = tuple(int(query[0].meta["item"]) for query in asked)
    return {name: Scores(torch.tensor(own), nodes) for name, own in values.items()}


def _answered(sample: Sample, answer: str) -> Sample:
    *before, last = sample.segments
    return replace(sample, segments=(*before, replace(last, content=answer)))
