"""A node token from the node and the sum of its neighbours, in plain torch."""

from __future__ import annotations

from torch import Tensor, nn

from mmgraph.graph_encoders import GraphEncoder


class MixingGraphEncoder(GraphEncoder):
    r"""One layer of messages: \( h_v = W_1 x_v + W_2 \sum_{u \in N(v)} x_u \).

    Shapes:
        `(N, d)` to `(N, D)`.

    Args:
        bias: Whether a constant is added.
    """

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.bias = bias

    def build(self, in_dim: int, dim: int, num_relations: int) -> None:
        """Create the two maps."""
        self.own = nn.Linear(in_dim, dim, bias=self.bias)
        self.others = nn.Linear(in_dim, dim, bias=False)

    def forward(
        self, features: Tensor, edge_index: Tensor, edge_type: Tensor, graph: Tensor | None = None
    ) -> Tensor:
        """Return the tokens `(N, D)`."""
        heard = features.new_zeros(features.shape).index_add(0, edge_index[1], features[edge_index[0]])
        return self.own(features) + self.others(heard)
