"""A batch of neighbourhoods as one graph: every node's own small graph beside the others.

The small graphs share no edges, so a node's token does not depend on who else is in the batch. What is costly,
the features of a node's contents, is still made once for each node of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmgraph.adjacency import Adjacency
from mmgraph.graph_samplers import Neighbourhood


@dataclass(frozen=True)
class GraphBatch:
    """The small graphs of N nodes with at most M neighbours each, P places in all.

    Args:
        nodes: `(U,)`, every node of the batch once, ascending: whose contents to encode.
        place: `(P,)`, which of `nodes` stands at each place; `features[place]` is what a graph encoder reads.
        graph: `(P,)`, the small graph of each place, ascending.
        edge_index: `(2, E)`, places.
        edge_type: `(E,)`.
        seed: `(N,)`, the place of each small graph's own node.
        neighbour: `(N, M)`, the places of its neighbours; that of the node itself where there is none.
        neighbourhood: What the sampler gave.
    """

    nodes: Tensor
    place: Tensor
    graph: Tensor
    edge_index: Tensor
    edge_type: Tensor
    seed: Tensor
    neighbour: Tensor
    neighbourhood: Neighbourhood


def collate(
    adjacency: Adjacency, nodes: Tensor, neighbourhood: Neighbourhood, *, max_degree: int = 512
) -> GraphBatch:
    """Return the small graphs that nodes and their neighbours span, every edge between them included.

    Args:
        adjacency: The edges.
        nodes: `(N,)`, the nodes.
        neighbourhood: Their neighbours `(N, M)`.
        max_degree: Of a node with more in-edges only so many, drawn by hash, are looked at, so that no node costs
            more than others. The edges by which the sampler came to its neighbours are there in any case.
    """
    count, width = neighbourhood.nodes.shape
    valid = torch.cat((torch.ones(count, 1, dtype=torch.bool), neighbourhood.valid), 1)  # (N, 1 + M)
    members = torch.cat((nodes[:, None], neighbourhood.nodes), 1)[valid]  # (P,)
    graph = torch.arange(count)[:, None].expand(-1, width + 1)[valid]
    numbered = torch.cumsum(valid.flatten().long(), 0).view(count, width + 1) - 1
    seed = numbered[:, 0]
    neighbour = torch.where(neighbourhood.valid, numbered[:, 1:], seed[:, None])
    unique, place = torch.unique(members, return_inverse=True)

    who, where = members.numpy(), graph.numpy()
    receiver, sender, types = adjacency.gather(who, limit=max_degree, keys=who[seed.numpy()][where])
    keys = where * adjacency.num_nodes + who
    order = np.argsort(keys, kind="stable")
    wanted = where[receiver] * adjacency.num_nodes + sender
    found = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
    inside = keys[order][found] == wanted
    edges = np.stack((order[found][inside], receiver[inside], types[inside].astype(np.int64)))
    crowded = adjacency.degrees(nodes.numpy()) > max_degree
    if bool(crowded.any()):
        direct = neighbourhood.valid & (neighbourhood.hop == 1) & (neighbourhood.relation >= 0)
        direct &= torch.from_numpy(crowded)[:, None]
        own = seed[:, None].expand_as(neighbour)
        known = torch.stack((neighbour[direct], own[direct], neighbourhood.relation[direct])).numpy()
        edges = np.unique(np.concatenate((edges, known), 1), axis=1)
    return GraphBatch(
        nodes=unique,
        place=place,
        graph=graph,
        edge_index=torch.from_numpy(edges[:2]),
        edge_type=torch.from_numpy(edges[2]),
        seed=seed,
        neighbour=neighbour,
        neighbourhood=neighbourhood,
    )
