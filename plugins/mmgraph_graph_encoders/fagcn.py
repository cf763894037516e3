"""Neighbours may pull or push (FAGCN, arXiv 2101.00797)."""

from __future__ import annotations

from torch import Tensor, nn

from mmgraph.graph_encoders import GraphEncoder


class FAGCNGraphEncoder(GraphEncoder):
    r"""PyG's `FAConv`: weights between -1 and 1, so that an unlike neighbour can be subtracted.

    \[ h_v' = \epsilon\,h_v^{(0)} + \sum_u \frac{\alpha_{vu}}{\sqrt{d_v d_u}} h_u, \qquad
    \alpha_{vu} = \tanh(a^\top [h_v, h_u]) \]

    Shapes:
        `(N, d)` to `(N, D)`.

    Args:
        num_layers: Number of layers.
        keep: Weight \( \epsilon \) of the node's first features in each layer.
        dropout: Share of attention weights dropped in training.

    Reference:
        Bo et al., Beyond Low-frequency Information in Graph Convolutional Networks, 2021 (arXiv 2101.00797).
    """

    def __init__(self, num_layers: int = 2, *, keep: float = 0.3, dropout: float = 0.0) -> None:
        super().__init__()
        self.num_layers = num_layers
        self.keep = keep
        self.dropout = dropout

    def build(self, in_dim: int, dim: int, num_relations: int) -> None:
        """Create the layers."""
        from torch_geometric.nn import FAConv

        self.first = nn.Linear(in_dim, dim)
        self.convolutions = nn.ModuleList(
            FAConv(dim, eps=self.keep, dropout=self.dropout) for _ in range(self.num_layers)
        )
        self.last = nn.Linear(dim, dim)

    def forward(
        self, features: Tensor, edge_index: Tensor, edge_type: Tensor, graph: Tensor | None = None
    ) -> Tensor:
        """Return the tokens `(N, D)`."""
        start = self.first(features).relu()
        hidden = start
        for convolution in self.convolutions:
            hidden = convolution(hidden, start, edge_index)
        return self.last(hidden)
