"""One node as a model meets it: its neighbours, what of them may be read, and how much each of them mattered.

A neighbour matters as much as the answer costs more without it: the neighbour is taken out of what the sampler found,
with its edges and contents, and nothing else changes. That works with every injector and for pictures too. Injectors
that attend over the nodes tell their attention besides; what is attended to need not be what decides.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from mmgraph.datasets import Dataset, Split
from mmgraph.errors import UsageError
from mmgraph.evaluation import losses, nodes
from mmgraph.graph_samplers import GraphSampler, Neighbourhood
from mmgraph.models.graph_input import GraphInput
from mmgraph.sequence import Sample

TASKS = ("ask", "draw")
"""Tasks of which a report shows a neighbourhood."""


@dataclass(frozen=True)
class NodeView:
    """A node, or a neighbour of one, with what the model may read of it.

    Args:
        node: Its number in the graph.
        text: Its text; None where there is none to be read.
        picture: Its picture, likewise.
        hop: Edges to the node that is asked for; 0 for that node.
        relation: The relation of the neighbour's edge towards it; '' where none is told.
        matters: By how much the answer is dearer without the neighbour: bits of an answer, denoising loss of a picture.
        attention: Its share of the injector's attention; None where the injector attends to no nodes.
    """

    node: int
    text: str | None
    picture: Tensor | None = field(repr=False)
    hop: int = 0
    relation: str = ""
    matters: float = 0.0
    attention: float | None = None


@dataclass(frozen=True)
class NeighbourhoodView:
    """A node with its neighbours, the nearest first.

    Args:
        node: The node itself.
        neighbours: Whom it is seen with.
        edges: (sender, receiver, relation) of every edge between them.
        relations: Names of the graph's relations.
        asked: What the sample gives and wants, in words.
        cost: What the answer costs with all neighbours.
        unit: Of what: `bits` or `denoising loss`.
    """

    node: NodeView
    neighbours: tuple[NodeView, ...]
    edges: tuple[tuple[int, int, str], ...]
    relations: tuple[str, ...]
    asked: str
    cost: float
    unit: str

    @property
    def words(self) -> str:
        """What a picture of it shows, in words."""
        told = [f"{view.node} ({view.relation or 'no edge'}, {view.matters:+.2g})" for view in self.neighbours]
        around = f"neighbours {', '.join(told)}" if told else "no neighbours"
        return f"Node {self.node.node}, {self.asked}, {around}; numbers are {self.unit} more without that neighbour."


def look(model: Any, sample: Sample, *, seed: int = 0) -> NeighbourhoodView:
    """Return the neighbourhood that a sample is read with, and how much each neighbour matters for its answer.

    Args:
        model: In evaluation mode, with a graph part.
        sample: With a graph segment; of several, the first is looked at.
        seed: Decides the noise of pictures, the same with and without a neighbour.

    Raises:
        UsageError: If the model or the sample has no graph.
    """
    if getattr(model, "graph", None) is None:
        raise UsageError("a neighbourhood can be shown of a model with a graph part only (model.init_args.graph).")
    attention = _Attention(model.graph.injector)
    with torch.no_grad(), attention:
        assembly = model.assemble([sample], seed=seed)
        model.embed(assembly)
    given: GraphInput | None = assembly.graph
    if given is None:
        raise UsageError(f"a sample of task '{sample.task}' has no node of a graph to look around; ask for another.")
    found = given.batch.neighbourhood.rows(slice(0, 1))
    count = int(found.valid.sum())
    head = nodes.head_of(model, [sample])
    cost = _cost(model, sample, head, seed)
    shares = attention.shares(count)
    views = []
    for at in range(count):
        relation = int(found.relation[0, at])
        views.append(
            NodeView(
                int(found.nodes[0, at]),
                *_contents(given, int(given.places[0, 1 + at])),
                hop=int(found.hop[0, at]),
                relation=given.graph.relations[relation] if relation >= 0 else "",
                matters=_without(model, sample, at, head, seed) - cost,
                attention=shares[at] if shares else None,
            )
        )
    batch = given.batch
    own = NodeView(int(batch.nodes[batch.place[batch.seed[0]]]), *_contents(given, int(given.places[0, 0])))
    unit = "bits" if model.head(head).discrete else "denoising loss"
    return NeighbourhoodView(own, tuple(views), _edges(given), given.graph.relations, _asked(sample), cost, unit)


def examples(model: Any, dataset: Dataset, split: Split, *, seed: int = 0) -> list[NeighbourhoodView]:
    """Return the first node with neighbours of each task in the fixed order of the evaluation, for a report."""
    if getattr(model, "graph", None) is None:
        return []
    graph = nodes.graph_of(dataset)
    assert graph is not None
    linked = set(graph.edge_index[1].tolist())
    found = []
    for task in TASKS:
        known = dataset.evaluation(split, task, nodes.ASKED) if dataset.tasks.get(task, 0) > 0 else []
        first = next((sample for sample in known if int(sample.meta["item"]) in linked), None)
        found += [look(model, first, seed=seed)] if first is not None else []
    return found


def _cost(model: Any, sample: Sample, head: str, seed: int) -> float:
    spent = losses.sums(model, [sample], seed)[head]
    return float(losses.bits(spent) if model.head(head).discrete else losses.averages(spent).mean())


def _without(model: Any, sample: Sample, at: int, head: str, seed: int) -> float:
    """Return what the answer costs without one neighbour."""
    whole = model.graph.sampler
    model.graph.sampler = left_out(whole, at)
    try:
        return _cost(model, sample, head, seed)
    finally:
        model.graph.sampler = whole


def left_out(sampler: GraphSampler, at: int) -> GraphSampler:
    """Return a sampler that finds what another one does, but for one neighbour of the first node.

    Args:
        sampler: The other sampler.
        at: The place of the neighbour.
    """
    changed = copy.copy(sampler)

    def sample(*args: Any, **options: Any) -> Neighbourhood:
        found, blank = sampler.sample(*args, **options), Neighbourhood.empty(1, 1)
        parts = {each.name: getattr(found, each.name).clone() for each in fields(found)}
        for name, values in parts.items():
            values[0] = torch.cat((values[0, :at], values[0, at + 1 :], getattr(blank, name)[0]))  # padding is last
        return Neighbourhood(**parts)

    changed.sample = sample  # type: ignore[method-assign]
    return changed


class _Attention(TorchFunctionMode):
    """Notes the attention inside an injector while it is entered.

    The weights are worked out from the arguments of the call: fused kernels return none.
    """

    def __init__(self, injector: torch.nn.Module) -> None:
        super().__init__()
        self.inside = False
        self.found: list[Tensor] = []
        self.handles = [
            injector.register_forward_pre_hook(lambda *_: self._enter(True)),
            injector.register_forward_hook(lambda *_: self._enter(False)),
        ]

    def _enter(self, inside: bool) -> None:
        self.inside = inside

    def __exit__(self, *caught: Any) -> None:
        for handle in self.handles:
            handle.remove()
        super().__exit__(*caught)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.inside and func is F.scaled_dot_product_attention:
            self.inside = False
            self.found.append(_weights(*args, **(kwargs or {})))
            self.inside = True
        return func(*args, **(kwargs or {}))

    def shares(self, count: int) -> list[float]:
        """Return each neighbour's share of the last attention over node and neighbours, averaged over heads and rows.

        Nothing where there was no such attention.
        """
        over = [weights for weights in self.found if weights.shape[-1] > count]
        if not over or not count:
            return []
        mean = over[-1][0].flatten(0, -2).mean(0)  # (1 + M,), the node itself first
        return [float(share) for share in mean[1 : 1 + count]]


def _weights(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **_: Any) -> Tensor:
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    if attn_mask is not None:
        hidden = attn_mask.logical_not() if attn_mask.dtype == torch.bool else None
        scores = scores.masked_fill(hidden, -math.inf) if hidden is not None else scores + attn_mask
    return scores.softmax(-1)


def _contents(given: GraphInput, row: int) -> tuple[str | None, Tensor | None]:
    return given.content("text", row), given.content("image", row)


def _edges(given: GraphInput) -> tuple[tuple[int, int, str], ...]:
    batch = given.batch
    mine = batch.graph[batch.edge_index[1]] == 0
    ends = batch.nodes[batch.place[batch.edge_index[:, mine]]].t().tolist()
    kinds = [given.graph.relations[kind] for kind in batch.edge_type[mine].tolist()]
    return tuple((sender, receiver, kind) for (sender, receiver), kind in zip(ends, kinds, strict=True))


def _asked(sample: Sample) -> str:
    def said(segments: Sequence[Any]) -> str:
        told = [f"'{one.content}'" if one.modality == "text" else "a picture" for one in segments]
        return " and ".join(told) or "nothing more"

    given = [one for one in sample.segments if not one.target and one.modality != "graph"]
    return f"given {said(given)}, wanted {said([one for one in sample.segments if one.target])}"
