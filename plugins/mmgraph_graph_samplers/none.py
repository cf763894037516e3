"""No neighbours: the arm without a graph."""

from __future__ import annotations

from torch import Tensor

from mmgraph.adjacency import Adjacency
from mmgraph.graph_samplers import GraphSampler, Neighbourhood
from mmgraph.leaks import VisibleAttributes


class NoSampler(GraphSampler):
    """Gives no neighbours.

    Shapes:
        `(N,)` to `(N, 0)`.
    """

    def __init__(self) -> None:
        pass

    def num_neighbours(self, adjacency: Adjacency) -> int:
        """Return 0."""
        return 0

    def sample(
        self,
        adjacency: Adjacency,
        nodes: Tensor,
        *,
        seed: int | Tensor = 0,
        attributes: VisibleAttributes | None = None,
        classes: Tensor | None = None,
    ) -> Neighbourhood:
        """Return empty rows."""
        return Neighbourhood.empty(len(nodes), 0)
