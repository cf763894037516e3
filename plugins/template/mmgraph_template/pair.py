"""Two tokens before a node: what it is, and what stands around it on average."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmgraph.graph_injectors import GraphInjector, NodeTokens


class PairInjector(GraphInjector):
    r"""A node's token and the mean of its neighbours': \( [W_1 h_v,\; W_2 \tfrac{1}{|N(v)|} \sum_{u \in N(v)} h_u] \).

    Shapes:
        own `(N, D)`, neighbours `(N, M, D)` to `(N, 2, D)`.

    Args:
        bias: Whether constants are added.
    """

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.bias = bias

    def build(self, dim: int, condition_dim: int, num_relations: int) -> None:
        """Create the two maps."""
        self.own = nn.Linear(dim, dim, bias=self.bias)
        self.others = nn.Linear(dim, dim, bias=self.bias)

    def num_tokens(self, neighbours: int) -> int:
        """Return 2."""
        return 2

    def forward(self, nodes: NodeTokens) -> Tensor:
        """Return the tokens `(N, 2, D)`."""
        there = nodes.neighbourhood.valid.to(nodes.own)[..., None]  # (N, M, 1)
        mean = (nodes.neighbours * there).sum(1) / there.sum(1).clamp_min(1)
        return torch.stack((self.own(nodes.own), self.others(mean)), dim=1)
