"""Under which conditions neighbours are worth something: how alike they are, and how many of their edges are left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mmgraph.graphs import MultimodalGraph
from mmgraph.models.graph_control import GraphControl

RANGES = {"0-25": (0.0, 0.25), "25-50": (0.25, 0.5), "50-75": (0.5, 0.75), "75-100": (0.75, 1.01)}
"""Percent of a node's neighbours that are of its own class; the lower end is in the range."""
REMOVED = (0, 25, 50, 75, 100)
"""Percent of the edges taken away when a model is scored; training had them all."""


def alike(graph: MultimodalGraph) -> Tensor | None:
    r"""Return the homophily of each node, \( |\{u \in N(v) : y_u = y_v\}| / |N(v)| \), `(N,)`; None without classes.

    Neighbours of unknown class are left out; nodes of unknown class or without known neighbours have NaN.

    Reference:
        Pei et al., Geom-GCN, 2020 (arXiv 2002.05287; homophily of nodes).
    """
    classes = getattr(graph.data, "y", None)
    if classes is None:
        return None
    sender, receiver = graph.edge_index
    known = (classes[sender] >= 0) & (classes[receiver] >= 0)
    same = (classes[sender] == classes[receiver]) & known
    count = torch.bincount(receiver[known], minlength=graph.num_nodes)
    return torch.bincount(receiver[same], minlength=graph.num_nodes) / count  # 0 / 0 is NaN


def groups(graph: MultimodalGraph) -> dict[str, Tensor]:
    """Return range -> nodes whose homophily lies in it, `(N,)` bool; nothing for graphs without classes."""
    share = alike(graph)
    if share is None:
        return {}
    return {name: (share >= low) & (share < high) for name, (low, high) in RANGES.items()}


@contextmanager
def thinned(model: Any, percent: int) -> Iterator[None]:
    """Take so many percent of the edges away from all that a model reads inside."""
    before: GraphControl = model.graph.control
    model.graph.control = replace(before, kept=before.kept * (1 - percent / 100))
    try:
        yield
    finally:
        model.graph.control = before


def is_whole(model: Any) -> bool:
    """Whether a model reads a graph, and reads it as it is: no arm of an experiment."""
    part = getattr(model, "graph", None)
    return part is not None and part.control == GraphControl()
