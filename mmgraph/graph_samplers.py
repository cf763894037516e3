"""The contract of graph samplers, and the lazy names of every installed one.

A sampler chooses the neighbours with which a node is seen: which nodes, how far away, by which relation, how near.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from mmgraph import registry
from mmgraph.adjacency import Adjacency
from mmgraph.configured import Configured
from mmgraph.leaks import VisibleAttributes


@dataclass(frozen=True)
class Neighbourhood:
    """The neighbours of some nodes, the nearest first, padded at the end; every field is `(N, M)`.

    Args:
        nodes: Numbers of the neighbours; 0 where `valid` is False.
        hop: Edges from the neighbour to the node; 0 for those that no edges led to.
        relation: Relation of the neighbour's edge towards the node; -1 if no edge led to it.
        weight: How near it is, more is nearer.
        valid: False for padding.
    """

    nodes: Tensor
    hop: Tensor
    relation: Tensor
    weight: Tensor
    valid: Tensor

    @classmethod
    def empty(cls, rows: int, width: int) -> Neighbourhood:
        """Return `rows` rows of padding."""
        whole = torch.zeros(rows, width, dtype=torch.long)
        return cls(whole, whole.clone(), whole - 1, torch.zeros(rows, width), whole.bool())

    def rows(self, index: slice | Tensor) -> Neighbourhood:
        """Return some of the rows."""
        return Neighbourhood(*(getattr(self, field.name)[index] for field in fields(self)))


def seeds(seed: int | Tensor, count: int) -> np.ndarray:
    """Return the seed of each of `count` nodes `(count,)`, for samplers that draw."""
    return np.broadcast_to(seed.numpy() if isinstance(seed, Tensor) else np.int64(seed), (count,))


class GraphSampler(Configured, ABC):
    """Nodes to padded neighbours.

    What it draws for a node depends on the node and the seed, not on the rest of the batch or on what was drawn
    before. It is given edges, and where it says so features or classes; never contents, and never a target.
    """

    needs_attributes: ClassVar[bool] = False
    """Whether it chooses by visible features."""
    needs_classes: ClassVar[bool] = False
    """Whether it chooses by class: a control, whose results say what a class alone would give."""

    @abstractmethod
    def num_neighbours(self, adjacency: Adjacency) -> int:
        """Return M, the width of what `sample` gives for this graph."""

    @abstractmethod
    def sample(
        self,
        adjacency: Adjacency,
        nodes: Tensor,
        *,
        seed: int | Tensor = 0,
        attributes: VisibleAttributes | None = None,
        classes: Tensor | None = None,
    ) -> Neighbourhood:
        """Return the neighbours of `(N,)` nodes.

        Args:
            adjacency: The edges.
            nodes: The nodes, repeats allowed.
            seed: Another seed, other draws; one for all nodes, or `(N,)`, one for each.
            attributes: Visible features, for samplers that need them.
            classes: `(nodes of the graph,)`, -1 for unknown, for samplers that need them.
        """


__getattr__, __dir__ = registry.lazy("graph_samplers")
