"""A few tokens from the graph encoder's output stand before the node (G-Retriever, arXiv 2402.07630)."""

from __future__ import annotations

from torch import Tensor, nn

from mmgraph.errors import UsageError
from mmgraph.graph_injectors import GraphInjector, NodeTokens


class SoftPromptInjector(GraphInjector):
    r"""The node's token as k tokens: \( [p_1 \dots p_k] = W\,\mathrm{LayerNorm}(h_v) \).

    Neighbours enter by the messages of the graph encoder only: with one that passes none, this is a control.

    Shapes:
        own `(N, D)` to `(N, k, D)`.

    Args:
        num_tokens: Tokens k of a node.

    Raises:
        UsageError: If there is none.

    Reference:
        He et al., G-Retriever, 2024 (arXiv 2402.07630).
    """

    def __init__(self, num_tokens: int = 1) -> None:
        super().__init__()
        if num_tokens < 1:
            raise UsageError(f"a soft prompt needs at least 1 token, not {num_tokens}.")
        self.count = num_tokens

    def build(self, dim: int, condition_dim: int, num_relations: int) -> None:
        """Create the map."""
        self.dim = dim
        self.layers = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, self.count * dim))

    def num_tokens(self, neighbours: int) -> int:
        """Return k."""
        return self.count

    def forward(self, nodes: NodeTokens) -> Tensor:
        """Return the tokens `(N, k, D)`."""
        return self.layers(nodes.own).view(len(nodes.own), self.count, self.dim)
