r"""What a model knows of the nodes of a graph: answers, what they cost in bits, and how well it denoises pictures.

Samples are taken whole, graph segment and all, and every model meets the same ones with the same noise. Beside the
scores of all nodes stand those of nodes without edges, which a graph cannot help, those of nodes by how many of their
neighbours are of their class, those of all nodes with the graph left out at test time, for models that have learned to
do without, those of some with a part of the edges left, and the exact posterior's, where a data set has one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mmgraph.datasets import Dataset, Split
from mmgraph.evaluation import losses, node_conditions
from mmgraph.evaluation.statistics import mean_interval
from mmgraph.evaluation.understanding import normal
from mmgraph.graphs import MultimodalGraph
from mmgraph.sequence import Sample

ASKED = 400
"""Questions about nodes, where there are that many."""
THINNED = 100
"""Questions, and pictures, of each share of edges that is taken away."""
BATCH = 32
MAIN = ("accuracy", "bits", "denoising")


@dataclass(frozen=True)
class Scores:
    """One value of each sample.

    Args:
        values: `(n,)`.
        nodes: The node of each sample.
    """

    values: Tensor
    nodes: tuple[int, ...]

    def entry(self, seed: int) -> dict[str, Any]:
        """Return the mean as metrics.json holds it."""
        interval = mean_interval(self.values, self.nodes, seed=seed)
        return {"value": float(self.values.mean()), "n": len(self.values), "ci95": list(interval)}

    def of(self, chosen: Tensor) -> Scores:
        """Return those of some nodes, told by a mask of all nodes."""
        kept = [bool(chosen[node]) for node in self.nodes]
        return Scores(self.values[torch.tensor(kept)], tuple(n for n, k in zip(self.nodes, kept, strict=True) if k))


def graph_of(dataset: Dataset) -> MultimodalGraph | None:
    """Return the graph of a data set, None for data sets of others."""
    found = getattr(dataset, "graph", None)
    return found if isinstance(found, MultimodalGraph) else None


def measure(
    model: Any, dataset: Dataset, split: Split, *, limit: int | None = None, seed: int = 0
) -> dict[str, Scores]:
    """Return path -> scores: accuracy and bits of answers, denoising loss of pictures.

    Beside them those of some nodes (`isolated`, `alike.0-25` to `alike.75-100`), without the graph (`dropped`), with so
    many percent of the edges taken away (`removed.25`; of models that read the graph as it is), and of the exact
    posterior (`ceiling`).

    Args:
        model: In evaluation mode.
        dataset: A data set of a graph.
        split: Which split.
        limit: At most so many questions and pictures.
        seed: Decides the noise.
    """
    graph = graph_of(dataset)
    if graph is None:
        return {}
    asked = spread(dataset, split, "ask", min(ASKED, limit or ASKED))
    drawn = spread(dataset, split, "draw", min(losses.SAMPLES, limit or losses.SAMPLES))
    found = _scores(model, asked, drawn, seed)
    degree = torch.bincount(graph.edge_index[1], minlength=graph.num_nodes)
    alone = {name: scores.of(degree == 0) for name, scores in found.items()}
    isolated = {f"isolated.{name}": scores for name, scores in alone.items() if scores.nodes}
    groups = {
        f"alike.{group}.{name}": found[name].of(chosen)
        for group, chosen in node_conditions.groups(graph).items()
        for name in MAIN
        if name in found
    }
    groups = {path: scores for path, scores in groups.items() if scores.nodes}
    left_out = {}
    if getattr(model, "graph", None) is not None:
        given = _scores(model, without_graph(asked), without_graph(drawn), seed)
        left_out = {f"dropped.{name}": scores for name, scores in given.items()}
    fewer = _with_fewer_edges(model, dataset, split, min(THINNED, limit or THINNED), seed)
    return {**found, **isolated, **groups, **left_out, **fewer, **ceiling(dataset, asked)}


def _with_fewer_edges(model: Any, dataset: Dataset, split: Split, count: int, seed: int) -> dict[str, Scores]:
    if not node_conditions.is_whole(model):
        return {}
    asked, drawn = (spread(dataset, split, task, count) for task in ("ask", "draw"))
    found: dict[str, Scores] = {}
    for percent in node_conditions.REMOVED:
        with node_conditions.thinned(model, percent):
            scores = _scores(model, asked, drawn, seed)
        found |= {f"removed.{percent}.{name}": scores[name] for name in MAIN if name in scores}
    return found


def section(found: Mapping[str, Scores], seed: int) -> dict[str, Any]:
    """Return the section `graph` of metrics.json."""
    told: dict[str, Any] = {}
    for path, scores in found.items():
        *groups, name = path.split(".")
        place = told
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = scores.entry(seed)
    return told


def spread(dataset: Dataset, split: Split, task: str, count: int) -> list[Sample]:
    """Return samples of a task, evenly spaced, each numbered by its place: noise is a function of the number.

    Kinds of questions stand one after another for it: spaced over a list in which they alternate, one kind may be all.
    """
    known = dataset.evaluation(split, task) if dataset.tasks.get(task, 0) > 0 else []
    known = sorted(known, key=lambda sample: str(sample.meta.get("kind")))
    count = min(count, len(known))
    return [replace(known[place * len(known) // count], key=place) for place in range(count)]


def ceiling(dataset: Dataset, asked: Sequence[Sample]) -> dict[str, Scores]:
    """Return what the exact posterior scores on questions about nodes; nothing where the data set knows none.

    Each node's own picture is hidden, all else is seen: `ceiling.accuracy` and `ceiling.bits` of the true answers.
    """
    posterior = getattr(dataset, "posterior", None)
    names: Mapping[str, tuple[str, ...]] = getattr(dataset, "names", {})
    if posterior is None or not asked or any(sample.meta.get("kind") not in names for sample in asked):
        return {}
    known = {kind: posterior(kind) for kind in {sample.meta["kind"] for sample in asked}}
    right, bits = [], []
    for sample in asked:
        kind, node = sample.meta["kind"], int(sample.meta["item"])
        answer = names[kind].index(str(sample.meta["answer"]))
        right.append(float(int(known[kind][node].argmax()) == answer))
        bits.append(-float(known[kind][node, answer].log2()))
    nodes = nodes_of(asked)
    return {
        "ceiling.accuracy": Scores(torch.tensor(right), nodes),
        "ceiling.bits": Scores(torch.tensor(bits), nodes),
    }


def _scores(model: Any, asked: Sequence[Sample], drawn: Sequence[Sample], seed: int) -> dict[str, Scores]:
    from mmgraph import generation

    found: dict[str, Scores] = {}
    if asked:
        given: list[str] = []
        for start in range(0, len(asked), BATCH):
            given += generation.complete(model, asked[start : start + BATCH])
        pairs = zip(given, asked, strict=True)
        right = [float(normal(said) == normal(str(sample.meta["answer"]))) for said, sample in pairs]
        found["accuracy"] = Scores(torch.tensor(right), nodes_of(asked))
        found |= _of_kinds(found["accuracy"], [str(sample.meta.get("kind")) for sample in asked])
        spent = losses.sums(model, asked, seed)
        head = head_of(model, asked)
        found["bits"] = Scores(losses.bits(spent[head]), nodes_of(asked))
    if drawn:
        head = head_of(model, drawn)
        spent = losses.sums(model, drawn, seed)
        found["denoising"] = Scores(losses.averages(spent[head]).mean(0), nodes_of(drawn))
    return found


def _of_kinds(scores: Scores, kinds: Sequence[str]) -> dict[str, Scores]:
    """Return the scores of each kind of question, where there are several."""
    names = sorted(set(kinds)) if len(set(kinds)) > 1 else []
    rows = {name: [row for row, kind in enumerate(kinds) if kind == name] for name in names}
    return {
        f"kinds.{name}.accuracy": Scores(scores.values[rows[name]], tuple(scores.nodes[row] for row in rows[name]))
        for name in names
    }


def head_of(model: Any, samples: Sequence[Sample]) -> str:
    """Return the head that scores what some samples ask for."""
    return next(span.head for span in model.spans(samples[0], False) if span.role == "target")


def nodes_of(samples: Sequence[Sample]) -> tuple[int, ...]:
    """Return the node of each sample."""
    return tuple(int(sample.meta["item"]) for sample in samples)


def without_graph(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples with a graph that is not there."""
    return [
        replace(
            sample,
            segments=tuple(
                replace(segment, content=None) if segment.modality == "graph" else segment
                for segment in sample.segments
            ),
        )
        for sample in samples
    ]
