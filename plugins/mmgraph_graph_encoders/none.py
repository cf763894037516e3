"""Own features only: the arm without a graph."""

from __future__ import annotations

from torch import Tensor, nn

from mmgraph.graph_encoders import GraphEncoder


class NoGraphEncoder(GraphEncoder):
    r"""One affine map per node: \( h_v = W x_v + b \). No message is passed.

    Shapes:
        `(N, d)` to `(N, D)`.
    """

    reads_edges = False

    def __init__(self) -> None:
        super().__init__()

    def build(self, in_dim: int, dim: int, num_relations: int) -> None:
        """Create the map."""
        self.projection = nn.Linear(in_dim, dim)

    def forward(
        self, features: Tensor, edge_index: Tensor, edge_type: Tensor, graph: Tensor | None = None
    ) -> Tensor:
        """Return the tokens `(N, D)`."""
        return self.projection(features)
