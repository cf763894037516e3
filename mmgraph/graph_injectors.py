"""The contract of graph injectors, and the lazy names of every installed one.

A graph injector brings a node's neighbourhood into the transformer: as tokens of the sequence, as memory that is
cross-attended, as neighbours written out, or as a change of the conditioning.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from mmgraph import registry
from mmgraph.configured import Configured
from mmgraph.graph_samplers import Neighbourhood


@dataclass(frozen=True)
class NodeTokens:
    """What a graph encoder made of N nodes and their M neighbours.

    Args:
        own: `(N, D)`, the nodes themselves.
        neighbours: `(N, M, D)`, the nearest first; what stands at padding is not to be read.
        neighbourhood: Hop, relation, weight and validity of the neighbours, `(N, M)` each.
        contents: `(U, n, D)`, the embedded words and patches of each content of the batch, padded at the end.
        visible: `(U, n)` bool; False for padding and for what is hidden. A row may have none at all.
        places: `(N, 1 + M)`, the row of `contents` of each node and of its neighbours.
    """

    own: Tensor
    neighbours: Tensor
    neighbourhood: Neighbourhood
    contents: Tensor
    visible: Tensor
    places: Tensor

    @property
    def all(self) -> tuple[Tensor, Tensor]:
        """Nodes and neighbours beside each other `(N, 1 + M, D)`, and which of them there are `(N, 1 + M)` bool."""
        valid = self.neighbourhood.valid.to(self.own.device)
        ones = torch.ones(len(valid), 1, dtype=torch.bool, device=valid.device)
        return torch.cat((self.own[:, None], self.neighbours), 1), torch.cat((ones, valid), 1)


class GraphInjector(Configured, nn.Module, ABC):
    """Node tokens to what the transformer reads of a graph segment.

    Options go to the constructor, sizes come from the model in `build`.
    """

    place: ClassVar[Literal["sequence", "memory", "condition"]] = "sequence"
    """Where its tokens go: among the others, beside them to be cross-attended, or into the conditioning vectors."""
    linearises: ClassVar[bool] = False
    """Whether the neighbours' texts and pictures stand in the sequence, each neighbour behind a token of `forward`."""
    encodes: ClassVar[bool] = True
    """Whether it reads the encoder's tokens; a model whose injector does not makes none."""
    leading: int = 0
    """Where it `linearises`: tokens of `forward` that stand before the first neighbour."""

    @abstractmethod
    def build(self, dim: int, condition_dim: int, num_relations: int) -> None:
        """Create the parameters for this model width, width of the conditioning, and so many relations."""

    @abstractmethod
    def num_tokens(self, neighbours: int) -> int:
        """Return how many tokens a node with so many neighbours becomes.

        Where it `linearises`: `leading`, and one for each neighbour.
        """

    @abstractmethod
    def forward(self, nodes: NodeTokens) -> Tensor:
        """Return the tokens `(N, num_tokens(M), D)`; of a node with fewer neighbours the first of its row are read.

        Where `place` is `condition`, `(N, 1, condition_dim)`, which is added to the conditioning of the node's sample.
        A node's tokens may depend on its own row alone, and not on what stands at padding.
        """


class Relative(nn.Module):
    """How a neighbour is related to its node, as a vector: a table of hops and one of relations, added.

    Args:
        dim: Width D.
        num_relations: Number of relations; one more stands for none.
        max_hops: Neighbours farther away share the last row; row 0 is for those that no edges led to.
    """

    def __init__(self, dim: int, num_relations: int, max_hops: int = 4) -> None:
        super().__init__()
        self.max_hops = max_hops
        self.hop = nn.Embedding(max_hops + 1, dim)
        self.relation = nn.Embedding(num_relations + 1, dim)

    def forward(self, neighbourhood: Neighbourhood) -> Tensor:
        """Return `(N, M, D)`."""
        device = self.hop.weight.device
        hop = neighbourhood.hop.clamp_max(self.max_hops).to(device)
        return self.hop(hop) + self.relation((neighbourhood.relation + 1).to(device))


__getattr__, __dir__ = registry.lazy("graph_injectors")
