"""The suite of graph samplers: what is drawn for a node depends on the node and the seed alone."""

from __future__ import annotations

from dataclasses import fields

import torch
from torch import Tensor

from mmgraph.adjacency import Adjacency
from mmgraph.errors import UsageError
from mmgraph.graph_samplers import GraphSampler, Neighbourhood
from mmgraph.leaks import VisibleAttributes
from mmgraph.testing.suite import Suite, close, expect, no_global_randomness

NODES, RELATIONS, ISOLATED = 60, 3, 59


class GraphSamplerSuite(Suite):
    """What `mmgraph.graph_samplers.GraphSampler` promises."""

    contract = GraphSampler

    def check_shape(self) -> None:
        """Gives `(N, num_neighbours)` rows, padded at the end, of nodes of the graph, each at most once."""
        sampler, adjacency, nodes = self.make(), _graph(), _nodes()
        width = sampler.num_neighbours(adjacency)
        found = self._sample(sampler, adjacency, nodes)
        for field in fields(Neighbourhood):
            shape = tuple(getattr(found, field.name).shape)
            expect(shape == (len(nodes), width), f"{field.name} is {shape}; expected {(len(nodes), width)}.")
        expect(found.valid.dtype == torch.bool and found.nodes.dtype == torch.long, "`valid` is bool, `nodes` int64.")
        expect(found.weight.isfinite().all(), "a weight is not finite.")
        if width:
            expect(bool((found.valid[:, :-1] >= found.valid[:, 1:]).all()), "padding must come last.")
        for row, node in enumerate(nodes.tolist()):
            mine = found.nodes[row][found.valid[row]].tolist()
            expect(all(0 <= each < NODES for each in mine), f"node {node} has neighbours outside of the graph: {mine}.")
            expect(len(set(mine)) == len(mine), f"node {node} has a neighbour twice: {mine}.")
            expect(node not in mine, f"node {node} is its own neighbour; leave it out.")
        expect(not found.nodes[~found.valid].any(), "`nodes` must be 0 where `valid` is False.")

    def check_truth(self) -> None:
        """A neighbour at hop 1 has an edge to the node, of the relation that is told; isolated nodes have none."""
        sampler, adjacency, nodes = self.make(), _graph(), _nodes()
        found = self._sample(sampler, adjacency, nodes)
        for row, node in enumerate(nodes.tolist()):
            _, senders, types = adjacency.gather(torch.tensor([node]).numpy())
            known = set(zip(senders.tolist(), types.tolist(), strict=True))
            for place in (found.valid[row] & (found.hop[row] == 1)).nonzero().flatten().tolist():
                told = int(found.nodes[row, place]), int(found.relation[row, place])
                expect(told in known, f"node {node} has no edge from {told[0]} of relation {told[1]}.")
        alone = self._sample(sampler, adjacency, torch.tensor([ISOLATED]))
        expect(not (alone.valid & (alone.hop > 0)).any(), "a node without edges has neighbours at hop 1 or more.")
        without = found.relation[found.valid & (found.hop == 0)]
        expect(bool((without == -1).all()), "a neighbour at hop 0 has no edge; its relation must be -1.")

    def check_rows(self) -> None:
        """A node's neighbours do not depend on the rest of the batch, nor on what was drawn before."""
        sampler, adjacency, nodes = self.make(), _graph(), _nodes()
        with no_global_randomness("sampling"):
            together = self._sample(sampler, adjacency, nodes, seed=3)
        for node in (0, 5, 17):
            alone = self._sample(sampler, adjacency, torch.tensor([node]), seed=3)
            row = int((nodes == node).nonzero()[0])
            expect(_same(together.rows(slice(row, row + 1)), alone), f"node {node} alone has other neighbours.")
        each = self._sample(sampler, adjacency, nodes, seed=torch.arange(len(nodes)))
        for row, node in enumerate(nodes.tolist()):
            alone = self._sample(sampler, adjacency, torch.tensor([node]), seed=row)
            own = each.rows(slice(row, row + 1))
            expect(_same(own, alone), f"node {node} with seed {row} among other seeds has other neighbours than alone.")
        again = self._sample(self.make(), adjacency, nodes.flip(0), seed=3)
        turned = again.rows(torch.arange(len(nodes)).flip(0))
        expect(_same(turned, together), "the order of the batch is not to matter.")

    def check_hidden_edges(self) -> None:
        """An edge that is hidden brings nobody in, from neither side."""
        adjacency, sampler = _graph(), self.make()
        _, senders, _ = adjacency.gather(torch.tensor([0]).numpy())
        pair = torch.tensor([[0], [int(senders[0])]])
        view = adjacency.without(pair)
        for node, other in (pair.flatten().tolist(), pair.flip(0).flatten().tolist()):
            found = self._sample(sampler, view, torch.tensor([node]))
            direct = found.nodes[found.valid & (found.hop == 1)].tolist()
            expect(other not in direct, f"{other} is a neighbour of {node} by the edge that is hidden.")

    def check_what_is_missing(self) -> None:
        """A sampler that needs attributes or classes says so when they are missing."""
        sampler, adjacency = self.make(), _graph()
        if not (sampler.needs_attributes or sampler.needs_classes):
            return
        try:
            sampler.sample(adjacency, _nodes())
        except UsageError:
            return
        expect(False, "it needs attributes or classes, but does without; raise a UsageError that says which.")

    def check_unseen(self) -> None:
        """A node without visible attributes is treated as every other without: nothing hidden shows through."""
        sampler, adjacency, nodes = self.make(), _graph(), _nodes()
        if not sampler.needs_attributes:
            return
        hidden = {"image": torch.randn(NODES, 8)}
        seen = torch.arange(NODES) % 3 > 0
        one, two = (
            VisibleAttributes.of(
                {"text": _features(), "image": image}, {"text": seen, "image": torch.ones(NODES) > 0}, target="image"
            )
            for image in (hidden["image"], torch.randn(NODES, 8))
        )
        first = sampler.sample(adjacency, nodes, attributes=one)
        second = sampler.sample(adjacency, nodes, attributes=two)
        expect(_same(first, second), "another target gives other neighbours: it is read somewhere.")

    def _sample(
        self, sampler: GraphSampler, adjacency: Adjacency, nodes: Tensor, seed: int | Tensor = 0
    ) -> Neighbourhood:
        seen = torch.ones(NODES, dtype=torch.bool)
        attributes = VisibleAttributes.of({"text": _features()}, {"text": seen}, target="image")
        needed = attributes if sampler.needs_attributes else None
        classes = torch.arange(NODES) % 4 if sampler.needs_classes else None
        return sampler.sample(adjacency, nodes, seed=seed, attributes=needed, classes=classes)


def _graph() -> Adjacency:
    """Sixty nodes with about four edges each in both directions, of three relations; the last has none."""
    generator = torch.Generator().manual_seed(0)
    pairs = torch.randint(0, ISOLATED, (2, 120), generator=generator)
    pairs = pairs[:, pairs[0] != pairs[1]]
    types = torch.arange(pairs.shape[1]) % RELATIONS
    edges = torch.cat((pairs, pairs.flip(0)), 1)
    return Adjacency.of(edges, torch.cat((types, types)), NODES, RELATIONS)


def _nodes() -> Tensor:
    return torch.tensor([5, 0, 17, ISOLATED, 5, 33])


def _features() -> Tensor:
    return torch.randn(NODES, 8, generator=torch.Generator().manual_seed(1))


def _same(left: Neighbourhood, right: Neighbourhood) -> bool:
    pairs = ((getattr(left, field.name), getattr(right, field.name)) for field in fields(Neighbourhood))
    return all(close(one.double(), other.double()) for one, other in pairs)


SUITE = GraphSamplerSuite
