"""Neighbours weighed by attention (GATv2, arXiv 2105.14491)."""

from __future__ import annotations

from torch import Tensor

from mmgraph.errors import UsageError
from mmgraph.graph_encoders import GraphEncoder


class GATv2GraphEncoder(GraphEncoder):
    r"""PyG's `GAT` with `v2=True`: a mean over the neighbours, weighed by attention.

    \[ h_v' = \sum_u \alpha_{vu} W_l h_u, \qquad
    \alpha_{vu} \propto \exp(a^\top \mathrm{LeakyReLU}(W_l h_u + W_r h_v)) \]

    The node itself is among its neighbours.

    Shapes:
        `(N, d)` to `(N, D)`.

    Args:
        num_layers: Number of layers.
        num_heads: Attention heads; D must be a multiple.
        dropout: Share of hidden units and attention weights dropped in training.

    Raises:
        UsageError: If D is not a multiple of the heads.

    Reference:
        Brody et al., How Attentive are Graph Attention Networks?, 2021 (arXiv 2105.14491).
    """

    def __init__(self, num_layers: int = 2, *, num_heads: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.dropout = dropout

    def build(self, in_dim: int, dim: int, num_relations: int) -> None:
        """Create the layers."""
        from torch_geometric.nn import GAT

        if dim % self.num_heads:
            raise UsageError(f"num_heads ({self.num_heads}) must divide the graph encoder's width {dim}.")
        self.network = GAT(
            in_dim, dim, self.num_layers, dim, v2=True, heads=self.num_heads, dropout=self.dropout
        )

    def forward(
        self, features: Tensor, edge_index: Tensor, edge_type: Tensor, graph: Tensor | None = None
    ) -> Tensor:
        """Return the tokens `(N, D)`."""
        return self.network(features, edge_index)
