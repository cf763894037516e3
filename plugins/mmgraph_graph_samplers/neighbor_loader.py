"""PyG's own sampling of neighbours, where its compiled kernels are installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from mmgraph.adjacency import Adjacency, hashed
from mmgraph.errors import UsageError
from mmgraph.graph_samplers import GraphSampler, Neighbourhood, seeds
from mmgraph.leaks import VisibleAttributes
from mmgraph_graph_samplers.padding import pad

if TYPE_CHECKING:
    from torch_geometric.sampler import NeighborSampler


class NeighborLoaderSampler(GraphSampler):
    r"""What PyG's `NeighborLoader` samples: of each node at hop h at most `num_neighbors[h]` in-edges, of any relation.

    The sampling is that of `torch_geometric.sampler.NeighborSampler`, which the loader wraps, and needs `pyg-lib` (or
    `torch-sparse`). One tree is sampled for each node, from a state of its own, and not one for the batch, so that a
    node's neighbours do not depend on who else is in it. The cap is per node: a relation with many edges may crowd
    out a rare one, which `k_hop` prevents. The weight is \( 1/\mathrm{hop} \). Edges that are hidden are sampled and
    then cut, with all that only they led to. PyG holds the edges in memory, also where the graph lies on disk.

    Shapes:
        `(N,)` to `(N, size)`.

    Args:
        size: Most neighbours of a node, the nearest hops first.
        num_neighbors: Edges of each node at each hop; -1 for all of them.

    Raises:
        UsageError: If a number is out of range, or PyG has no compiled sampling here.

    Reference:
        Hamilton et al., Inductive Representation Learning on Large Graphs, 2017 (arXiv 1706.02216).
    """

    def __init__(self, size: int = 16, num_neighbors: Sequence[int] = (8, 4)) -> None:
        from torch_geometric import typing

        if size < 1:
            raise UsageError(f"size must be at least 1, not {size}.")
        if not num_neighbors or any(count < 1 and count != -1 for count in num_neighbors):
            raise UsageError(f"num_neighbors must be numbers from 1, or -1 for all, not {list(num_neighbors)}.")
        if not (typing.WITH_PYG_LIB or typing.WITH_TORCH_SPARSE):
            raise UsageError(
                "the sampler neighbor_loader needs pyg-lib, which is not installed; install it as PyG's pages say, or "
                "use mmgraph.graph_samplers.k_hop, which needs nothing."
            )
        self.size = size
        self.num_neighbors = list(num_neighbors)
        self._built: tuple[np.ndarray, NeighborSampler] | None = None

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
        if not len(nodes):
            return Neighbourhood.empty(0, self.size)
        sampler = self._sampler(adjacency)
        states = hashed(seeds(seed, len(nodes)), nodes.numpy()) >> np.uint64(1)
        with torch.random.fork_rng(devices=[]):
            trees = [
                self._tree(sampler, adjacency, node, int(state)) for node, state in zip(nodes, states, strict=True)
            ]
        rows = np.repeat(np.arange(len(nodes)), [len(tree[0]) for tree in trees])
        node, hop, relation = (np.concatenate(parts) for parts in zip(*trees, strict=True))
        return pad(len(nodes), self.size, rows, node, hop=hop, relation=relation, weight=1.0 / hop)

    def _sampler(self, adjacency: Adjacency) -> NeighborSampler:
        """Return PyG's sampler of a graph; views with hidden edges share their graph's."""
        from torch_geometric.data import Data
        from torch_geometric.sampler import NeighborSampler

        if self._built is None or self._built[0] is not adjacency.starts:
            receivers = np.repeat(np.arange(adjacency.num_nodes), np.diff(adjacency.starts))
            edges = torch.from_numpy(np.stack((np.asarray(adjacency.senders), receivers)))
            data = Data(edge_index=edges, num_nodes=adjacency.num_nodes)
            self._built = adjacency.starts, NeighborSampler(data, self.num_neighbors, is_sorted=True)
        return self._built[1]

    def _tree(
        self, sampler: NeighborSampler, adjacency: Adjacency, node: Tensor, state: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return numbers, hops and relations of the sampled neighbours of one node, breadth first."""
        from torch_geometric.sampler import NodeSamplerInput

        torch.manual_seed(state)
        found = sampler.sample_from_nodes(NodeSamplerInput(input_id=None, node=node[None]))
        everyone = found.node.numpy()
        visible = ~adjacency.hides(everyone[found.row.numpy()], everyone[found.col.numpy()])
        sender, receiver = found.row.numpy()[visible], found.col.numpy()[visible]
        types = np.asarray(adjacency.types[found.edge.numpy()[visible]])
        hop, relation = np.full(len(everyone), -1), np.full(len(everyone), -1)
        hop[everyone == int(node)] = 0
        order = []
        for step in range(len(self.num_neighbors)):
            led = np.flatnonzero((hop[receiver] == step) & (hop[sender] == -1))
            new, first = np.unique(sender[led], return_index=True)
            hop[new], relation[new] = step + 1, types[led[first]]
            order.append(new)
        kept = np.concatenate(order)
        return everyone[kept], hop[kept], relation[kept]
