"""Random nodes of the node's own class: what the class alone would give, without any structure."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from mmgraph.adjacency import Adjacency, hashed
from mmgraph.errors import UsageError
from mmgraph.graph_samplers import GraphSampler, Neighbourhood, seeds
from mmgraph.leaks import VisibleAttributes
from mmgraph_graph_samplers.padding import distinct, pad


class SameClassSampler(GraphSampler):
    """Different nodes of the same class, drawn evenly.

    A control and never a method: it reads the class. If real edges draw a node no better than this does, they
    gave the class and nothing besides. Where the class is what is asked, it gives the answer away. The classes are
    sorted at every call, so a batch costs more in a larger graph.

    Shapes:
        `(N,)` to `(N, size)`.

    Args:
        size: Most neighbours; none for nodes of unknown class.
    """

    needs_classes = True

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
        """Return nodes of the same class at hop 0.

        Raises:
            UsageError: If no classes are given.
        """
        if classes is None:
            raise UsageError("the sampler 'same_class' needs `classes`, one number per node of the graph.")
        known = classes.numpy()
        members = np.argsort(known, kind="stable")
        ordered = known[members]
        own = nodes.numpy()
        first = np.searchsorted(ordered, known[own], side="left")
        sizes = np.searchsorted(ordered, known[own], side="right") - first - 1
        sizes = np.where(known[own] >= 0, sizes, 0)
        place = np.argsort(members, kind="stable")[own] - first  # of the node among its class
        row, other = distinct(hashed(seeds(seed, len(own)), own).astype(np.int64), sizes, self.size)
        other = other + (other >= place[row])
        return pad(len(own), self.size, row, members[first[row] + other])
