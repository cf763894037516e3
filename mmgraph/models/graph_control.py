"""What is taken away from a graph, or changed in it, so that it can be told what of it helps.

A control changes what a model reads of a graph and nothing else: the same nodes, samples, order, noise and parameters.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mmgraph.adjacency import Adjacency
from mmgraph.errors import UsageError, nearest
from mmgraph.graphs import MultimodalGraph

EDGES = ("real", "rewired", "same_class", "none")
CONTENTS = ("real", "permuted", "hidden")


@dataclass(frozen=True)
class GraphControl:
    """Placebo arms of an experiment; the defaults change nothing.

    Args:
        edges: `real`; `rewired`, partners exchanged within each relation, so that every node keeps its degree in it;
            `same_class`, each sender replaced by any node of the receiver's class (`y` of the graph); or `none`.
        contents: Of neighbours: `real`; `permuted`, each shows the texts and pictures of another node of its split; or
            `hidden`, with hop, relation and messages: as many tokens that say nothing.
        relations: Only edges of these; None: all.
        modalities: Only these contents are read in the graph; None: all.
        kept: Share of the edges that is left, drawn within each relation, both directions of an edge together. A
            smaller share is a part of a larger one.
        seed: Decides rewiring, permutation and what is left.

    Raises:
        UsageError: If a name is unknown, or the share is none.
    """

    edges: Literal["real", "rewired", "same_class", "none"] = "real"
    contents: Literal["real", "permuted", "hidden"] = "real"
    relations: Sequence[str] | None = None
    modalities: Sequence[str] | None = None
    kept: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the names."""
        for what, given, known in (("edges", self.edges, EDGES), ("contents", self.contents, CONTENTS)):
            if given not in known:
                raise UsageError(f"{what} of a graph's control cannot be '{given}'. {nearest(given, known)}")
        if not 0 <= self.kept <= 1:
            raise UsageError(f"kept of a graph's control is a share from 0 to 1, not {self.kept}.")


@dataclass(frozen=True)
class GraphView:
    """A graph as a control shows it.

    Args:
        adjacency: Its edges.
        classes: `(N,)`, the class of each node, -1 for unknown; None where the graph has no `y`.
        shows: `(N,)`, whose contents each node shows when it is a neighbour; None: its own.
    """

    adjacency: Adjacency
    classes: Tensor | None
    shows: Tensor | None


_views: weakref.WeakKeyDictionary[MultimodalGraph, dict[str, GraphView]] = weakref.WeakKeyDictionary()


def view(graph: MultimodalGraph, control: GraphControl) -> GraphView:
    """Return the graph as a control shows it; made once for each graph and control."""
    known = _views.setdefault(graph, {})
    key = repr(control)
    if key not in known:
        classes = getattr(graph.data, "y", None)
        shows = _permuted(graph, control.seed) if control.contents == "permuted" else None
        known[key] = GraphView(_adjacency(graph, control, classes), classes, shows)
    return known[key]


def _adjacency(graph: MultimodalGraph, control: GraphControl, classes: Tensor | None) -> Adjacency:
    if control.edges == "real" and control.relations is None and control.kept == 1:
        return graph.adjacency
    edges, types = graph.edge_index, graph.edge_type
    if control.relations is not None:
        for name in control.relations:
            if name not in graph.relations:
                raise UsageError(f"the graph has no relation '{name}'. {nearest(name, graph.relations)}")
        kept = torch.isin(types, torch.tensor([graph.relations.index(name) for name in control.relations]))
        edges, types = edges[:, kept], types[kept]
    if control.edges == "none":
        edges, types = edges[:, :0], types[:0]
    elif control.edges == "rewired":
        edges, types = rewire(edges, types, control.seed)
    elif control.edges == "same_class":
        if classes is None:
            raise UsageError("edges 'same_class' need the classes of the nodes: the graph's data has no `y`.")
        edges = _same_class(edges, classes, control.seed)
    if control.kept < 1:
        edges, types = thin(edges, types, control.kept, control.seed)
    return Adjacency.of(edges, types, graph.num_nodes, len(graph.relations))


def rewire(edges: Tensor, types: Tensor, seed: int, *, rounds: int = 8) -> tuple[Tensor, Tensor]:
    """Return the graph with partners exchanged within each relation: every node keeps its degree in it.

    A relation stored in both directions stays so. An exchange that would join a node with itself, or a pair that is
    joined already, is tried again a few times, and what is left then of such edges stays.

    Args:
        edges: `(2, E)`.
        types: `(E,)`.
        seed: Decides the exchange.
        rounds: How often edges that came out wrong are exchanged again.
    """
    generator = torch.Generator().manual_seed(seed)
    parts, kinds = [], []
    for kind in types.unique().tolist():
        own = edges[:, types == kind]
        size = int(own.max()) + 1 if own.numel() else 1
        keys, back = own[0] * size + own[1], own[1] * size + own[0]
        both = torch.equal(keys.sort().values, back.sort().values)
        pairs = own[:, own[0] <= own[1]] if both else own
        if both:  # any end of an undirected edge may be exchanged
            turned = torch.rand(pairs.shape[1], generator=generator) < 0.5
            pairs = torch.where(turned, pairs.flip(0), pairs)
        found = pairs.clone()
        again = torch.arange(found.shape[1])
        for _ in range(rounds):
            if len(again) > 1:
                found[1, again] = found[1, again[torch.randperm(len(again), generator=generator)]]
            wrong = _wrong(found, size, undirected=both)
            if not bool(wrong.any()):
                break
            # with as many right ones: wrong edges alone may have nothing to exchange
            more = torch.randperm(found.shape[1], generator=generator)[: 2 * int(wrong.sum())]
            again = torch.cat((wrong.nonzero().flatten(), more)).unique()
        parts.append(torch.cat((found, found.flip(0)), 1) if both else found)
        kinds.append(torch.full((parts[-1].shape[1],), kind))
    return (torch.cat(parts, 1), torch.cat(kinds)) if parts else (edges, types)


def thin(edges: Tensor, types: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return a share of the edges, both directions of one together; less is a part of more.

    Args:
        edges: `(2, E)`.
        types: `(E,)`.
        share: From 0 to 1.
        seed: Decides which.
    """
    low, high = edges.min(0).values, edges.max(0).values
    size = int(high.max()) + 1 if edges.numel() else 1
    pairs, which = torch.unique((types * size + low) * size + high, return_inverse=True)
    drawn = torch.rand(len(pairs), generator=torch.Generator().manual_seed(seed))
    kept = drawn[which] < share
    return edges[:, kept], types[kept]


def _wrong(pairs: Tensor, size: int, *, undirected: bool) -> Tensor:
    """Return which edges join a node with itself or repeat another."""
    low, high = (pairs.min(0).values, pairs.max(0).values) if undirected else (pairs[0], pairs[1])
    _, which, counts = torch.unique(low * size + high, return_inverse=True, return_counts=True)
    return (pairs[0] == pairs[1]) | (counts[which] > 1)


def _same_class(edges: Tensor, classes: Tensor, seed: int) -> Tensor:
    """Return the edges with each sender replaced by any other node of the receiver's class, where there is one."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.argsort(classes, stable=True)
    first = torch.searchsorted(classes[order], classes[edges[1]])
    count = torch.searchsorted(classes[order], classes[edges[1]], right=True) - first
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order))
    step = 1 + (torch.rand(len(first), generator=generator) * (count - 1)).long()
    place = first + (rank[edges[1]] - first + step) % count  # never the receiver itself, but where it is alone
    known = (classes[edges[1]] >= 0) & (count > 1)
    return torch.stack((torch.where(known, order[place], edges[0]), edges[1]))


def _permuted(graph: MultimodalGraph, seed: int) -> Tensor:
    """Return a permutation of the nodes that keeps each in its split."""
    generator = torch.Generator().manual_seed(seed)
    group = torch.full((graph.num_nodes,), -1)
    for number, members in enumerate(graph.splits.values()):
        group[members] = number
    shows = torch.arange(graph.num_nodes)
    for number in group.unique().tolist():
        members = (group == number).nonzero().flatten()
        shows[members] = members[torch.randperm(len(members), generator=generator)]
    return shows
