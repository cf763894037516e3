"""The linear connector: one matrix from the tokenizer's width to the model's (LLaVA, arXiv 2304.08485)."""

from __future__ import annotations

from torch import Tensor, nn

from mmgraph.connectors import Connector, TextContext
from mmgraph.tokenizers import Tokenizer


class LinearConnector(Connector):
    r"""One affine map per token: \( e = W z + b \).

    Shapes:
        `(N, n, d)` to `(N, n, D)`.

    Args:
        bias: Whether to add b.

    Reference:
        Liu et al., Visual Instruction Tuning, 2023 (arXiv 2304.08485).
    """

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.bias = bias

    def build(self, tokenizer: Tokenizer, dim: int) -> None:
        """Create the matrix."""
        self.projection = nn.Linear(tokenizer.token_dim, dim, bias=self.bias)

    def num_tokens(self, n: int) -> int:
        """Return n: one position per token."""
        return n

    def forward(self, tokens: Tensor, context: TextContext | None = None) -> Tensor:
        """Return `(N, n, D)` embeddings."""
        return self.projection(tokens)
