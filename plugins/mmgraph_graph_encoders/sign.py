"""Propagate first, learn afterwards (SIGN, arXiv 2004.11198)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmgraph.graph_encoders import GraphEncoder


class SIGNGraphEncoder(GraphEncoder):
    r"""PyG's transform `SIGN`, then a perceptron: \( h_v = \mathrm{MLP}([x_v, (\hat A x)_v, \dots, (\hat A^K x)_v]) \).

    Propagation has no parameters, so a graph is multiplied through once and the rest is an MLP on its rows.

    Shapes:
        `(N, d)` to `(N, D)`.

    Args:
        num_hops: The highest power K.

    Reference:
        Frasca et al., SIGN: Scalable Inception Graph Neural Networks, 2020 (arXiv 2004.11198).
    """

    def __init__(self, num_hops: int = 2) -> None:
        super().__init__()
        self.num_hops = num_hops

    def build(self, in_dim: int, dim: int, num_relations: int) -> None:
        """Create the perceptron."""
        wide = in_dim * (self.num_hops + 1)
        self.layers = nn.Sequential(nn.Linear(wide, dim), nn.ReLU(), nn.Linear(dim, dim))

    def forward(
        self, features: Tensor, edge_index: Tensor, edge_type: Tensor, graph: Tensor | None = None
    ) -> Tensor:
        """Return the tokens `(N, D)`."""
        from torch_geometric.data import Data
        from torch_geometric.transforms import SIGN

        data = SIGN(self.num_hops)(Data(x=features, edge_index=edge_index.contiguous()))
        hops = [features] + [data[f"x{k}"] for k in range(1, self.num_hops + 1)]
        return self.layers(torch.cat(hops, -1))
