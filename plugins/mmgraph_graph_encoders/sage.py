"""The mean of the neighbours beside the node itself (GraphSAGE, arXiv 1706.02216)."""

from __future__ import annotations

from torch import Tensor

from mmgraph.graph_encoders import GraphEncoder


class SAGEGraphEncoder(GraphEncoder):
    r"""PyG's `GraphSAGE`: \( h_v' = W_1 h_v + W_2\,\frac{1}{|N(v)|}\sum_{u \in N(v)} h_u \), ReLU between layers.

    The node and its neighbours have weights of their own, so unlike neighbours do no harm. Relations are not read.

    Shapes:
        `(N, d)` to `(N, D)`.

    Args:
        num_layers: Number of layers, which is how many edges a message travels.
        dropout: Share of hidden units dropped in training.

    Reference:
        Hamilton et al., Inductive Representation Learning on Large Graphs, 2017 (arXiv 1706.02216).
    """

    def __init__(self, num_layers: int = 2, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.num_layers = num_layers
        self.dropout = dropout

    def build(self, in_dim: int, dim: int, num_relations: int) -> None:
        """Create the layers."""
        from torch_geometric.nn import GraphSAGE

        self.network = GraphSAGE(in_dim, dim, self.num_layers, dim, dropout=self.dropout)

    def forward(
        self, features: Tensor, edge_index: Tensor, edge_type: Tensor, graph: Tensor | None = None
    ) -> Tensor:
        """Return the tokens `(N, D)`."""
        return self.network(features, edge_index)
