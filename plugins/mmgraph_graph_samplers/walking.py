"""Going outwards from nodes, edge by edge, all rows of a batch at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmgraph.adjacency import Adjacency, hashed
from mmgraph_graph_samplers.padding import ranks


@dataclass(frozen=True)
class Reached:
    """Nodes that were reached: of which row, at which hop, by which relation; row by row, nearest first."""

    row: np.ndarray
    node: np.ndarray
    hop: np.ndarray
    relation: np.ndarray


def walk(
    adjacency: Adjacency,
    starts: np.ndarray,
    *,
    seed: np.ndarray,
    num_hops: int | None,
    per_relation: int | None = None,
    most: int | None = None,
    max_degree: int | None = None,
) -> Reached:
    """Return the nodes within some hops of each start, itself left out.

    Where something is capped, what is kept is drawn by hash of (seed, start, edge).

    Args:
        adjacency: The edges, gone against the messages: from receivers to senders.
        starts: `(n,)` nodes.
        seed: `(n,)`, of the draws of each start.
        num_hops: How far; None: as far as edges lead.
        per_relation: Most senders of one node and one relation.
        most: Most nodes of one row and hop.
        max_degree: Most edges of one node that are looked at.
    """
    size = adjacency.num_nodes
    row, node = np.arange(len(starts)), starts.astype(np.int64)
    seen = np.sort(row * size + node)
    found: list[tuple[np.ndarray, ...]] = []
    hop = 0
    while len(row) and (num_hops is None or hop < num_hops):
        hop += 1
        keys = hashed(seed[row], starts[row], node).astype(np.int64)
        parent, sender, relation = adjacency.gather(node, limit=max_degree, keys=keys)
        of = row[parent]
        new = ~np.isin(of * size + sender, seen)
        of, parent, sender, relation = of[new], parent[new], sender[new], relation[new]
        luck = hashed(seed[of], starts[of], node[parent], sender, relation)
        if per_relation is not None:
            order = np.lexsort((luck, relation, parent))
            group = parent[order].astype(np.int64) * adjacency.num_relations + relation[order]
            kept = order[ranks(group) < per_relation]
            of, sender, relation, luck = of[kept], sender[kept], relation[kept], luck[kept]
        order = np.lexsort((luck, sender, of))  # a node reached by several edges counts once
        kept = order[ranks(of[order] * size + sender[order]) == 0]
        kept = kept[np.lexsort((luck[kept], of[kept]))]
        if most is not None:
            kept = kept[ranks(of[kept]) < most]
        row, node = of[kept], sender[kept].astype(np.int64)
        found.append((row, node, np.full(len(row), hop), relation[kept].astype(np.int64)))
        seen = np.concatenate((seen, row * size + node))
    if not found:
        return Reached(*(np.zeros(0, np.int64) for _ in range(4)))
    row, node, hops, relation = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.lexsort((np.arange(len(row)), hops, row))
    return Reached(row[order], node[order], hops[order], relation[order])
