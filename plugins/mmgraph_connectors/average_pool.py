"""Averages over regions, then one matrix: the plainest way to fewer tokens (DeCo, arXiv 2405.20985)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from mmgraph.connectors import Connector, TextContext
from mmgraph.tokenizers import Tokenizer
from mmgraph_connectors.attention import check_square, to_grid


class AveragePoolConnector(Connector):
    r"""The mean of each region of the grid, mapped to the model's width: \( e_r = W\,\bar z_r + b \).

    Shapes:
        `(N, n, d)` to `(N, num_queries, D)`.

    Args:
        num_queries: Positions, a square number: the regions lie on a grid.

    Raises:
        UsageError: If `num_queries` is no square.

    Reference:
        Yao et al., DeCo: Decoupling Token Compression from Semantic Abstraction, 2024 (arXiv 2405.20985).
    """

    def __init__(self, num_queries: int = 4) -> None:
        super().__init__()
        self.num_queries = num_queries
        self.side = check_square(num_queries)

    def build(self, tokenizer: Tokenizer, dim: int) -> None:
        """Create the matrix."""
        self.grid = tokenizer.grid
        self.projection = nn.Linear(tokenizer.token_dim, dim)

    def num_tokens(self, n: int) -> int:
        """Return `num_queries`."""
        return self.num_queries

    def forward(self, tokens: Tensor, context: TextContext | None = None) -> Tensor:
        """Return `(N, num_queries, D)` embeddings."""
        pooled = F.adaptive_avg_pool2d(to_grid(tokens, self.grid), self.side)  # (N, d, side, side)
        return self.projection(pooled.flatten(2).transpose(1, 2))
