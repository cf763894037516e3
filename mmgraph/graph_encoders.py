"""The contract of graph encoders, and the lazy names of every installed one.

A graph encoder turns the features of nodes and their typed edges into one token for each node.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from mmgraph import registry
from mmgraph.configured import Configured


class GraphEncoder(Configured, nn.Module, ABC):
    """Features `(N, d)` and typed edges to node tokens `(N, D)`.

    Options go to the constructor, sizes come from the neighbours in `build`. Messages go from `edge_index[0]` to
    `edge_index[1]`. A batch holds many small graphs side by side; where no edge joins them, nothing else may.
    """

    reads_edges: ClassVar[bool] = True
    """Whether the edges change the tokens; the arms without a graph say no."""
    reads_types: ClassVar[bool] = False
    """Whether the relation of an edge changes the tokens."""

    @abstractmethod
    def build(self, in_dim: int, dim: int, num_relations: int) -> None:
        """Create the parameters for features of this width, this model width, and so many relations."""

    @abstractmethod
    def forward(
        self, features: Tensor, edge_index: Tensor, edge_type: Tensor, graph: Tensor | None = None
    ) -> Tensor:
        """Return the tokens `(N, D)`.

        Args:
            features: `(N, d)`.
            edge_index: `(2, E)`.
            edge_type: `(E,)`.
            graph: `(N,)`, in ascending order, which small graph of the batch each node is of; None: all of one.
        """


__getattr__, __dir__ = registry.lazy("graph_encoders")
