"""Each relation has weights of its own (R-GCN, arXiv 1703.06103)."""

from __future__ import annotations

import itertools

from torch import Tensor, nn

from mmgraph.graph_encoders import GraphEncoder


class RGCNGraphEncoder(GraphEncoder):
    r"""PyG's `RGCNConv`: \( h_v' = W_0 h_v + \sum_r W_r\,\frac{1}{|N_r(v)|}\sum_{u \in N_r(v)} h_u \), ReLU between.

    What a neighbour means depends on how it is related: the same colour along one relation, the opposite along
    another.

    Shapes:
        `(N, d)` to `(N, D)`.

    Args:
        num_layers: Number of layers.
        num_bases: The relations' weights are mixed of so many; None: each has its own.
        dropout: Share of hidden units dropped in training.

    Reference:
        Schlichtkrull et al., Modeling Relational Data with Graph Convolutional Networks, 2017 (arXiv 1703.06103).
    """

    reads_types = True

    def __init__(self, num_layers: int = 2, *, num_bases: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        self.num_layers = num_layers
        self.num_bases = num_bases
        self.dropout = dropout

    def build(self, in_dim: int, dim: int, num_relations: int) -> None:
        """Create the layers."""
        from torch_geometric.nn import RGCNConv

        widths = [in_dim] + [dim] * self.num_layers
        self.convolutions = nn.ModuleList(
            RGCNConv(before, after, max(1, num_relations), num_bases=self.num_bases)
            for before, after in itertools.pairwise(widths)
        )

    def forward(
        self, features: Tensor, edge_index: Tensor, edge_type: Tensor, graph: Tensor | None = None
    ) -> Tensor:
        """Return the tokens `(N, D)`."""
        hidden = features
        for number, convolution in enumerate(self.convolutions):
            if number:
                hidden = nn.functional.dropout(hidden.relu(), self.dropout, self.training)
            hidden = convolution(hidden, edge_index, edge_type)
        return hidden
