"""Every node of the graph: small graphs only, and the yardstick for samplers."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from mmgraph.adjacency import Adjacency
from mmgraph.errors import UsageError
from mmgraph.graph_samplers import GraphSampler, Neighbourhood, seeds
from mmgraph.leaks import VisibleAttributes
from mmgraph_graph_samplers.padding import pad
from mmgraph_graph_samplers.walking import walk


class FullSampler(GraphSampler):
    """Every other node, the nearest first; nodes that no edges lead to come last, at hop 0.

    The weight is 1 over the hop, and 0 for nodes that no edges lead to.

    Shapes:
        `(N,)` to `(N, nodes of the graph - 1)`.

    Args:
        max_nodes: Larger graphs are refused: the cost of one node grows with the graph.
    """

    def __init__(self, max_nodes: int = 5_000) -> None:
        self.max_nodes = max_nodes

    def num_neighbours(self, adjacency: Adjacency) -> int:
        """Return the number of other nodes."""
        return max(0, adjacency.num_nodes - 1)

    def sample(
        self,
        adjacency: Adjacency,
        nodes: Tensor,
        *,
        seed: int | Tensor = 0,
        attributes: VisibleAttributes | None = None,
        classes: Tensor | None = None,
    ) -> Neighbourhood:
        """Return every other node.

        Raises:
            UsageError: If the graph is larger than `max_nodes`.
        """
        size = adjacency.num_nodes
        if size > self.max_nodes:
            raise UsageError(
                f"the sampler 'full' takes graphs of up to {self.max_nodes} nodes, this one has {size}; take 'k_hop' "
                "or 'ppr', or raise max_nodes."
            )
        starts = nodes.numpy()
        near = walk(adjacency, starts, seed=seeds(seed, len(starts)), num_hops=None)
        everyone = np.arange(len(starts) * size)
        far = np.setdiff1d(everyone, np.r_[near.row * size + near.node, np.arange(len(starts)) * size + starts])
        row, node = np.r_[near.row, far // size], np.r_[near.node, far % size]
        hop = np.r_[near.hop, np.zeros(len(far), np.int64)]
        relation = np.r_[near.relation, np.full(len(far), -1)]
        order = np.argsort(row, kind="stable")
        weight = np.where(hop > 0, 1.0 / np.maximum(hop, 1), 0.0)
        return pad(
            len(nodes),
            self.num_neighbours(adjacency),
            row[order],
            node[order],
            hop=hop[order],
            relation=relation[order],
            weight=weight[order],
        )
