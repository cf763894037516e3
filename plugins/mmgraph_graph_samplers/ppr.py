"""The nodes where a walk with restarts spends its time (personalised PageRank)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mmgraph.adjacency import Adjacency, hashed
from mmgraph.errors import UsageError
from mmgraph.graph_samplers import GraphSampler, Neighbourhood
from mmgraph.leaks import VisibleAttributes
from mmgraph_graph_samplers import ppr_cache
from mmgraph_graph_samplers.padding import pad

BLOCK = 256
"""Nodes whose walks are followed at once while a table of all is made."""


class PPRSampler(GraphSampler):
    r"""The `size` nodes of largest personalised PageRank.

    \[ \pi_v = \alpha \sum_{k \ge 0} (1-\alpha)^k P^k e_v \]

    with P the step from a node to one of those who send to it, each edge alike. The sum is made by power
    iteration; mass that would arrive as less than `tolerance` is not passed on, so that one node's walk visits at
    most \( 1 / \mathrm{tolerance} \) edges a step, however large the graph or its hubs. With `tolerance` 0 it is
    exact up to \( (1-\alpha)^{\mathrm{num\_steps}} \). The neighbourhood does not depend on the seed.

    Of graphs of up to `cache_nodes` nodes all neighbourhoods are made once and kept on disk.

    Shapes:
        `(N,)` to `(N, size)`; the weight is the PageRank.

    Args:
        size: Most neighbours of a node.
        restart: Probability \( \alpha \) of going back to the node at each step.
        num_steps: Most steps of a walk.
        tolerance: Mass below which a walk is not followed.
        cache_nodes: Graphs of up to so many nodes have a table on disk; 0: none has.
        cache_dir: Its folder; None: the variable MMGRAPH_CACHE, else the platform's folder.

    Raises:
        UsageError: If a number is out of its range.

    Reference:
        Gasteiger et al., Diffusion Improves Graph Learning, 2019 (arXiv 1911.05485).
    """

    def __init__(
        self,
        size: int = 16,
        restart: float = 0.15,
        *,
        num_steps: int = 20,
        tolerance: float = 1e-3,
        cache_nodes: int = 20_000,
        cache_dir: str | None = None,
    ) -> None:
        if size < 1 or num_steps < 1:
            raise UsageError(f"size and num_steps must be at least 1, not {size} and {num_steps}.")
        if not 0 < restart < 1 or tolerance < 0:
            raise UsageError(f"restart must be between 0 and 1 and tolerance not negative, not {restart}, {tolerance}.")
        self.size = size
        self.restart = restart
        self.num_steps = num_steps
        self.tolerance = tolerance
        self.cache_nodes = cache_nodes
        self.cache_dir = cache_dir
        self._tables: dict[str, Neighbourhood] = {}

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
        """Return the nodes of largest PageRank, largest first.

        Raises:
            RunError: If the table cannot be written.
        """
        if adjacency.num_nodes <= self.cache_nodes and adjacency.whole:
            return self._table(adjacency).rows(nodes)
        return self._follow(adjacency, nodes.numpy())

    def _table(self, adjacency: Adjacency) -> Neighbourhood:
        name = f"{adjacency.digest}-{self.size}-{self.restart!r}-{self.num_steps}-{self.tolerance!r}"
        if name not in self._tables:

            def make() -> Neighbourhood:
                everyone = np.arange(adjacency.num_nodes)
                blocks = [everyone[first : first + BLOCK] for first in range(0, len(everyone), BLOCK)]
                parts = [self._follow(adjacency, block) for block in blocks]
                return Neighbourhood(
                    *(torch.cat([getattr(part, field) for part in parts]) for field in ppr_cache.FIELDS)
                )

            self._tables[name] = ppr_cache.load(name, make, self.cache_dir)
        return self._tables[name]

    def _follow(self, adjacency: Adjacency, starts: np.ndarray) -> Neighbourhood:
        keys, mass, hop, relation = pagerank(
            adjacency, starts, restart=self.restart, num_steps=self.num_steps, tolerance=self.tolerance
        )
        row, node = keys // adjacency.num_nodes, keys % adjacency.num_nodes
        others = node != starts[row]
        row, node, mass, hop, relation = (part[others] for part in (row, node, mass, hop, relation))
        # equals are told apart by hash, rounded so that the order of additions does not decide
        order = np.lexsort((hashed(node), -np.round(mass, 12), row))
        return pad(
            len(starts),
            self.size,
            row[order],
            node[order],
            hop=hop[order],
            relation=relation[order],
            weight=mass[order],
        )


def pagerank(
    adjacency: Adjacency, starts: np.ndarray, *, restart: float, num_steps: int, tolerance: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return key (row * nodes + node), PageRank, hop and relation of every node that the walks of `starts` reach.

    The relation is that of the one edge which leads to the start, -1 for nodes farther away.
    """
    size = adjacency.num_nodes
    keys = np.arange(len(starts)) * size + starts
    hop = relation = first = np.zeros(0, np.int64)
    total_keys, total = np.zeros(0, np.int64), np.zeros(0)
    mass: np.ndarray = np.ones(len(starts))
    for step in range(num_steps + 1):
        merged = np.union1d(total_keys, keys)
        places, old = np.searchsorted(merged, keys), np.searchsorted(merged, total_keys)
        totals, hops, relations = np.zeros(len(merged)), np.full(len(merged), step), np.full(len(merged), -1)
        totals[old], hops[old], relations[old] = total, hop, relation
        totals[places] += restart * mass
        if step == 1:
            relations[places] = first
        total_keys, total, hop, relation = merged, totals, hops, relations
        if step == num_steps:
            break
        row, node = keys // size, keys % size
        most = adjacency.degrees(node)  # decided before a hub's edges are read
        kept = (most > 0) & ((1 - restart) * mass >= tolerance * most)
        row, node = row[kept], node[kept]
        if not len(row):
            break
        parent, sender, types = adjacency.gather(node)
        share = (1 - restart) * mass[kept] / np.maximum(np.bincount(parent, minlength=len(node)), 1)
        arriving = row[parent] * size + sender
        keys, place, inverse = np.unique(arriving, return_index=True, return_inverse=True)
        first = types[place]
        mass = np.bincount(inverse, weights=share[parent])
    return total_keys, total, hop, relation
