"""Neighbours at random: the same number of nodes, no structure."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from mmgraph.adjacency import Adjacency, hashed
from mmgraph.errors import UsageError
from mmgraph.graph_samplers import GraphSampler, Neighbourhood, seeds
from mmgraph.leaks import VisibleAttributes
from mmgraph_graph_samplers.padding import distinct, pad


class RandomSampler(GraphSampler):
    """Different nodes of the whole graph, drawn evenly: what neighbours do as mere decoration.

    Shapes:
        `(N,)` to `(N, size)`.

    Args:
        size: Number of neighbours; fewer only where the graph has no more.
    """

    def __init__(self, size: int = 16) -> None:
        if size < 1:
            raise UsageError(f"size must be at least 1, not {size}.")
        self.size = size

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
        """Return random nodes at hop 0."""
        own = nodes.numpy()
        sizes = np.full(len(own), adjacency.num_nodes - 1)
        row, other = distinct(hashed(seeds(seed, len(own)), own).astype(np.int64), sizes, self.size)
        return pad(len(own), self.size, row, other + (other >= own[row]))  # the node itself is stepped over
