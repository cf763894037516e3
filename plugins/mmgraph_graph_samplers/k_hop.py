"""Neighbours within some hops, a few of each relation (GraphSAGE's sampling, arXiv 1706.02216)."""

from __future__ import annotations

from torch import Tensor

from mmgraph.adjacency import Adjacency
from mmgraph.errors import UsageError
from mmgraph.graph_samplers import GraphSampler, Neighbourhood, seeds
from mmgraph.leaks import VisibleAttributes
from mmgraph_graph_samplers.padding import pad
from mmgraph_graph_samplers.walking import walk


class KHopSampler(GraphSampler):
    r"""Nodes within `num_hops` edges, at most `per_relation` senders of each relation at every node.

    The cap is per relation so that a relation with many edges cannot crowd out a rare one. The weight is
    \( 1/\mathrm{hop} \).

    Shapes:
        `(N,)` to `(N, size)`.

    Args:
        size: Most neighbours of a node, the nearest hops first.
        num_hops: How many edges away.
        per_relation: Most senders of one relation that are followed from one node.
        max_degree: Of a node with more edges only so many, drawn by hash, are looked at.

    Raises:
        UsageError: If a number is less than 1.

    Reference:
        Hamilton et al., Inductive Representation Learning on Large Graphs, 2017 (arXiv 1706.02216).
    """

    def __init__(self, size: int = 16, num_hops: int = 2, *, per_relation: int = 4, max_degree: int = 512) -> None:
        for name, value in (
            ("size", size),
            ("num_hops", num_hops),
            ("per_relation", per_relation),
            ("max_degree", max_degree),
        ):
            if value < 1:
                raise UsageError(f"{name} must be at least 1, not {value}.")
        self.size = size
        self.num_hops = num_hops
        self.per_relation = per_relation
        self.max_degree = max_degree

    def num_neighbours(self, adjacency: Adjacency) -> int:
        """Return `size`."""
        return self.size

    def sample(
        self,
        adjacency: Adjacency,
        nodes: Tensor,
        *,
        seed: int | Tensor = 0,
        attributes: VisibleAttributes | None = None,
        classes: Tensor | None = None,
    ) -> Neighbourhood:
        """Return the neighbours, nearer hops first."""
        found = walk(
            adjacency,
            nodes.numpy(),
            seed=seeds(seed, len(nodes)),
            num_hops=self.num_hops,
            per_relation=self.per_relation,
            most=self.size,
            max_degree=self.max_degree,
        )
        weight = 1.0 / found.hop
        return pad(
            len(nodes), self.size, found.row, found.node, hop=found.hop, relation=found.relation, weight=weight
        )
