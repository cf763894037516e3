"""Two layers in place of one (LLaVA-1.5, arXiv 2310.03744)."""

from __future__ import annotations

from torch import Tensor, nn

from mmgraph.connectors import Connector, TextContext
from mmgraph.tokenizers import Tokenizer


class MLPConnector(Connector):
    r"""A perceptron per token: \( e = W_2\,\mathrm{GELU}(W_1 z + b_1) + b_2 \).

    Shapes:
        `(N, n, d)` to `(N, n, D)`.

    Args:
        ratio: Hidden width over the model's width.

    Reference:
        Liu et al., Improved Baselines with Visual Instruction Tuning, 2023 (arXiv 2310.03744).
    """

    def __init__(self, ratio: float = 1.0) -> None:
        super().__init__()
        self.ratio = ratio

    def build(self, tokenizer: Tokenizer, dim: int) -> None:
        """Create the two layers."""
        inner = max(1, round(dim * self.ratio))
        self.layers = nn.Sequential(nn.Linear(tokenizer.token_dim, inner), nn.GELU(), nn.Linear(inner, dim))

    def num_tokens(self, n: int) -> int:
        """Return n: one position per token."""
        return n

    def forward(self, tokens: Tensor, context: TextContext | None = None) -> Tensor:
        """Return `(N, n, D)` embeddings."""
        return self.layers(tokens)
