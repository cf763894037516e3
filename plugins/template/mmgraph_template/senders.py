"""The first few senders of a node, in the order of their numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from mmgraph.adjacency import Adjacency
from mmgraph.graph_samplers import GraphSampler, Neighbourhood
from mmgraph.leaks import VisibleAttributes


class SendersGraphSampler(GraphSampler):
    """At most `size` nodes with an edge to the node.

    Shapes:
        `(N,)` to `(N, size)`.

    Args:
        size: Most neighbours of a node.
    """

    def __init__(self, size: int = 8) -> None:
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
        """Return the senders; nothing is drawn, so the seed changes nothing."""
        found = Neighbourhood.empty(len(nodes), self.size)
        for row, node in enumerate(nodes.tolist()):
            _, senders, types = adjacency.gather(torch.tensor([node]).numpy())
            relation = {int(s): int(t) for s, t in zip(senders[::-1], types[::-1], strict=True) if s != node}
            for place, sender in enumerate(sorted(relation)[: self.size]):
                found.nodes[row, place] = sender
                found.relation[row, place] = relation[sender]
                found.hop[row, place] = found.weight[row, place] = 1
                found.valid[row, place] = True
        return found
