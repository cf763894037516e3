"""A perceptron of the same size, blind to the graph: the control for more parameters."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from mmgraph.errors import UsageError
from mmgraph.graph_encoders import GraphEncoder


class MLPGraphEncoder(GraphEncoder):
    r"""A perceptron per node, as large as another encoder: \( h_v = W_2\,\mathrm{ReLU}(W_1 x_v + b_1) + b_2 \).

    Whatever a graph encoder gains over this one, its parameters alone did not do it.

    Shapes:
        `(N, d)` to `(N, D)`.

    Args:
        match: The encoder whose number of parameters is matched, as nearly as one hidden unit allows; None: the
            hidden width is D.

    Raises:
        UsageError: If the encoder to match has fewer parameters than a perceptron with one hidden unit.
    """

    reads_edges = False

    def __init__(self, match: GraphEncoder | None = None) -> None:
        super().__init__()
        object.__setattr__(self, "match", match)  # a pattern to count, not a part of this module

    def build(self, in_dim: int, dim: int, num_relations: int) -> None:
        """Create the layers."""
        hidden = dim
        pattern: GraphEncoder | None = self.__dict__["match"]
        if pattern is not None:
            other = copy.deepcopy(pattern)
            other.build(in_dim, dim, num_relations)
            goal = sum(parameter.numel() for parameter in other.parameters())
            hidden = round((goal - dim) / (in_dim + 1 + dim))
            if hidden < 1:
                raise UsageError(
                    f"{type(pattern).__name__} has {goal} parameters, fewer than a perceptron from {in_dim} to {dim} "
                    "with one hidden unit; compare it with 'none'."
                )
        self.layers = nn.Sequential(nn.Linear(in_dim, hidden), nn.ReLU(), nn.Linear(hidden, dim))

    def forward(
        self, features: Tensor, edge_index: Tensor, edge_type: Tensor, graph: Tensor | None = None
    ) -> Tensor:
        """Return the tokens `(N, D)`."""
        return self.layers(features)
