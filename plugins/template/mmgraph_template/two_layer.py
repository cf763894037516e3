"""A connector of two layers (LLaVA-1.5, arXiv 2310.03744)."""

from __future__ import annotations

from torch import Tensor, nn

from mmgraph.connectors import Connector
from mmgraph.tokenizers import Tokenizer


class TwoLayerConnector(Connector):
    r"""Norm, two layers and a GELU between them: \( e = W_2\,\mathrm{GELU}(W_1\,\mathrm{LN}(z)) \).

    Shapes:
        `(N, n, d)` to `(N, n, D)`.

    Args:
        expansion: Hidden width over the model's width.

    Reference:
        Liu et al., Improved Baselines with Visual Instruction Tuning, 2023.
    """

    def __init__(self, expansion: float = 2.0) -> None:
        super().__init__()
        if expansion <= 0:
            raise ValueError(f"expansion must be positive, not {expansion}.")
        self.expansion = expansion

    def build(self, tokenizer: Tokenizer, dim: int) -> None:
        """Create the layers."""
        inner = max(1, round(self.expansion * dim))
        self.layers = nn.Sequential(
            nn.LayerNorm(tokenizer.token_dim),
            nn.Linear(tokenizer.token_dim, inner),
            nn.GELU(),
            nn.Linear(inner, dim),
        )

    def num_tokens(self, n: int) -> int:
        """Return n: one position per token."""
        return n

    def forward(self, tokens: Tensor, context: Tensor | None = None) -> Tensor:
        """Return `(N, n, D)` embeddings."""
        return self.layers(tokens)
