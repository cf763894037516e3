"""Pairs of nodes that one relation joins, divided into splits, and pairs that it does not join and that look alike.

Random pairs are told from joined ones by being far apart. Hard negatives are not: they share neighbours with the node
that is asked about, so that a count of shared neighbours alone ranks them first.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from mmgraph.adjacency import Adjacency, hashed
from mmgraph.datasets import Split
from mmgraph.errors import UsageError, nearest
from mmgraph.graphs import MultimodalGraph
from mmgraph_datasets.division import SPLITS, split_of

Pair = tuple[int, int]
MOST = 512
"""Edges of a node that are looked at in the search for near ones."""


class Links:
    """The pairs of one relation: some to learn, some to score, and what remains of the graph for messages.

    A pair is held out by its hash. Edges of held-out pairs are in no message, in training or in evaluation, and
    training asks only for pairs of training nodes. The edge of a training pair is for the sample to take out
    (`GraphNode.without`).

    Args:
        graph: The whole graph.
        relation: The relation that is asked for.
        world: Name of the data, part of the hash.
        num_negatives: Pairs that are not joined, beside each that is.
        divided: By split the pairs `(2, k)` of a published division; None: by hash.
        published: By pair of `val` and `test` its published negatives; drawn where there are none.

    Raises:
        UsageError: If the relation is unknown, or has too few pairs to divide.

    Reference:
        Li et al., Evaluating Graph Neural Networks for Link Prediction, 2023 (arXiv 2306.10453), for hard negatives.
    """

    def __init__(
        self,
        graph: MultimodalGraph,
        relation: str,
        *,
        world: str,
        num_negatives: int = 20,
        divided: Mapping[str, Tensor] | None = None,
        published: Mapping[Pair, Sequence[int]] | None = None,
    ) -> None:
        if relation not in graph.relations:
            raise UsageError(
                f"link_relation is '{relation}', which the graph has not. {nearest(relation, graph.relations)}"
            )
        if num_negatives < 1:
            raise UsageError(f"num_negatives must be at least 1, not {num_negatives}.")
        self.relation = relation
        self.num_negatives = num_negatives
        self.num_nodes = graph.num_nodes
        self._graph = graph
        self._published = dict(published or {})
        keys = self._keys(graph.edges(relation).numpy())
        self._joined = keys
        if divided is None:
            owners = np.array([SPLITS.index(split_of(world, "link", relation, int(key))) for key in keys], np.int64)
        else:
            owners = np.zeros(len(keys), np.int64)
            for number, split in enumerate(SPLITS):
                owners[np.isin(keys, self._keys(divided[split].numpy()))] = number
        self.held_out = self._pairs(keys[owners > 0])
        learners = torch.zeros(self.num_nodes, dtype=torch.bool)
        learners[graph.splits["train"]] = True
        self._training_nodes = learners.numpy()
        first, second = keys // self.num_nodes, keys % self.num_nodes
        learned = (owners == 0) & self._training_nodes[first] & self._training_nodes[second]
        chosen = {"train": learned, "val": owners == 1, "test": owners == 2}
        self._by_split: dict[str, list[Pair]] = {
            split: [(int(a), int(b)) for a, b in self._pairs(keys[kept]).t().tolist()] for split, kept in chosen.items()
        }
        empty = [split for split in ("train", "test") if not self._by_split[split]]
        if empty:
            raise UsageError(
                f"the relation '{relation}' has {len(keys)} pairs, none of them for the split '{empty[0]}'; ask for a "
                "relation with more edges."
            )
        for held, pairs in divided.items() if divided is not None else ():
            if held != "train":  # in their own order: published negatives are of the first node
                self._by_split[held] = [(int(a), int(b)) for a, b in pairs.t().tolist()]
        self._by_node: dict[int, list[Pair]] = {}
        for a, b in self._by_split["train"]:
            self._by_node.setdefault(a, []).append((a, b))
            self._by_node.setdefault(b, []).append((b, a))

    @functools.cached_property
    def messages(self) -> MultimodalGraph:
        """The graph without the edges of held-out pairs: what models read."""
        from torch_geometric.data import Data

        graph = self._graph
        edges, types = graph.edge_index, graph.edge_type
        low, high = edges.min(0).values, edges.max(0).values
        held = torch.isin(low * self.num_nodes + high, self.held_out[0] * self.num_nodes + self.held_out[1])
        kept = ~(held & (types == graph.relations.index(self.relation)))
        data = Data(num_nodes=self.num_nodes)
        data.edge_index, data.edge_type = edges[:, kept], types[kept]
        if getattr(graph.data, "y", None) is not None:
            data.y = graph.data.y
        return graph.with_edges(data)

    def pairs(self, split: Split) -> Sequence[Pair]:
        """Return the joined pairs of a split, the node that is asked about first."""
        return self._by_split[split]

    def of(self, node: int) -> Sequence[Pair]:
        """Return the training pairs of a node, the node first."""
        return self._by_node.get(node, ())

    def negatives(self, pair: Pair, split: Split) -> list[int]:
        """Return `num_negatives` nodes that the relation does not join to the first of a pair, the hardest first.

        Published ones where there are some. Otherwise those come first that share most neighbours with the node, and
        the rest is drawn by hash. For training only training nodes.
        """
        if pair in self._published:
            return list(self._published[pair][: self.num_negatives])
        node = pair[0]
        found = self._near(node, split)[: self.num_negatives]
        known, place = {*found, node}, 0
        while len(found) < self.num_negatives and place < 100 * self.num_negatives:
            drawn = int(hashed(7, node, place) % np.uint64(self.num_nodes))
            place += 1
            if drawn not in known and self._allowed(node, np.array([drawn]), split)[0]:
                known.add(drawn)
                found.append(drawn)
        return found

    def negative(self, node: int, split: Split, rng: random.Random) -> int | None:
        """Return one drawn for training: as often one that shares neighbours as any other; None where there is none."""
        near = self._near(node, split)
        if near and rng.random() < 0.5:
            return rng.choice(near)
        for _ in range(100):
            drawn = rng.randrange(self.num_nodes)
            if drawn != node and self._allowed(node, np.array([drawn]), split)[0]:
                return drawn
        return near[0] if near else None

    def common_neighbours(self, node: int, others: Sequence[int]) -> Tensor:
        """Return how many neighbours each of some nodes shares with a node, in the graph of the messages `(n,)`."""
        own = np.unique(self._senders(np.array([node])))
        shared = [len(np.intersect1d(own, self._senders(np.array([other])))) for other in others]
        return torch.tensor(shared, dtype=torch.float)

    def _near(self, node: int, split: Split) -> list[int]:
        own = np.unique(self._senders(np.array([node])))
        if not len(own):
            return []
        found, shared = np.unique(self._senders(own), return_counts=True)
        kept = self._allowed(node, found, split)
        found, shared = found[kept], shared[kept]
        order = np.lexsort((hashed(node, found), -shared))
        return [int(other) for other in found[order]]

    def _senders(self, nodes: np.ndarray) -> np.ndarray:
        adjacency: Adjacency = self.messages.adjacency
        return adjacency.gather(nodes, limit=MOST)[1]

    def _allowed(self, node: int, others: np.ndarray, split: Split) -> np.ndarray:
        keys = np.minimum(others, node) * self.num_nodes + np.maximum(others, node)
        allowed = (others != node) & ~np.isin(keys, self._joined)
        return allowed & self._training_nodes[others] if split == "train" else allowed

    def _keys(self, edges: np.ndarray) -> np.ndarray:
        """Return a number for each different pair of different nodes, ascending."""
        edges = edges[:, edges[0] != edges[1]]
        return np.unique(np.minimum(*edges) * self.num_nodes + np.maximum(*edges))

    def _pairs(self, keys: np.ndarray) -> Tensor:
        return torch.from_numpy(np.stack((keys // self.num_nodes, keys % self.num_nodes)))
