"""Convolutions around a pooling: fewer tokens that keep their place (the C-Abstractor of Honeybee)."""

from __future__ import annotations

from torch import Tensor, nn

from mmgraph.connectors import Connector, TextContext
from mmgraph.tokenizers import Tokenizer
from mmgraph_connectors.attention import check_square, to_grid


class LocalityConnector(Connector):
    r"""Residual convolutions, adaptive average pooling, residual convolutions, one matrix.

    \[ e = W\,C_2(\mathrm{pool}(C_1(z))) + b \]

    Each position sees its own region and the neighbouring ones: what is where survives the compression.

    Shapes:
        `(N, n, d)` to `(N, num_queries, D)`.

    Args:
        num_queries: Positions, a square number: they lie on a grid.
        depth: Residual blocks before, and again after, the pooling.

    Raises:
        UsageError: If `num_queries` is no square.

    Reference:
        Cha et al., Honeybee: Locality-enhanced Projector for Multimodal LLM, 2024 (arXiv 2312.06742).
    """

    def __init__(self, num_queries: int = 4, depth: int = 1) -> None:
        super().__init__()
        self.num_queries = num_queries
        self.depth = depth
        self.side = check_square(num_queries)

    def build(self, tokenizer: Tokenizer, dim: int) -> None:
        """Create the convolutions."""
        self.grid = tokenizer.grid
        self.before = nn.Sequential(
            nn.Conv2d(tokenizer.token_dim, dim, 1), *(_Residual(dim) for _ in range(self.depth))
        )
        self.pool = nn.AdaptiveAvgPool2d(self.side)
        self.after = nn.Sequential(*(_Residual(dim) for _ in range(self.depth)))
        self.projection = nn.Linear(dim, dim)

    def num_tokens(self, n: int) -> int:
        """Return `num_queries`."""
        return self.num_queries

    def forward(self, tokens: Tensor, context: TextContext | None = None) -> Tensor:
        """Return `(N, num_queries, D)` embeddings."""
        features = self.after(self.pool(self.before(to_grid(tokens, self.grid))))  # (N, D, side, side)
        return self.projection(features.flatten(2).transpose(1, 2))


class _Residual(nn.Module):
    """A depthwise 3 x 3 and two pointwise convolutions around a shortcut."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(dim, dim, 3, padding=1, groups=dim),
            nn.GroupNorm(1, dim),
            nn.Conv2d(dim, 2 * dim, 1),
            nn.GELU(),
            nn.Conv2d(2 * dim, dim, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.layers(features)
