"""Coarse queries, each reading the fine tokens of its own region (TokenPacker)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgraph.connectors import Connector, TextContext
from mmgraph.errors import UsageError
from mmgraph.tokenizers import Tokenizer
from mmgraph_connectors.attention import Attention, check_square, feed_forward, to_grid


class TokenPackerConnector(Connector):
    r"""The mean of a region asks the region's own tokens for their detail.

    \[ c_r = W_c\,\bar z_r, \qquad e_r = c_r + \mathrm{Attn}(c_r, \{ W_f z_i : i \in r \}), \qquad
       e_r \leftarrow e_r + \mathrm{FFN}(e_r) \]

    Shapes:
        `(N, n, d)` to `(N, num_queries, D)`.

    Args:
        num_queries: Positions, a square number whose side divides the grid's.
        num_heads: Attention heads; must divide the model's width.
        mlp_ratio: Hidden width of the feed-forward over the model's width.

    Raises:
        UsageError: If `num_queries` is no square, or the grid cannot be divided into so many regions.

    Reference:
        Li et al., TokenPacker: Efficient Visual Projector for Multimodal LLM, 2024 (arXiv 2407.02392).
    """

    def __init__(self, num_queries: int = 4, num_heads: int = 4, *, mlp_ratio: float = 2.0) -> None:
        super().__init__()
        self.num_queries = num_queries
        self.num_heads = num_heads
        self.mlp_ratio = mlp_ratio
        self.side = check_square(num_queries)

    def build(self, tokenizer: Tokenizer, dim: int) -> None:
        """Create the attention.

        Raises:
            UsageError: If the regions do not divide the grid.
        """
        self.grid = tokenizer.grid
        if self.grid[0] % self.side or self.grid[1] % self.side:
            raise UsageError(
                f"num_queries {self.num_queries} divides a grid of {self.grid[0]} x {self.grid[1]} tokens into no "
                "equal regions; take the square of a number that divides both."
            )
        region = self.grid[0] * self.grid[1] // self.num_queries
        self.coarse = nn.Linear(tokenizer.token_dim, dim)
        self.fine = nn.Linear(tokenizer.token_dim, dim)
        self.places = nn.Parameter(0.5 * torch.randn(region, dim))
        self.query_norm = nn.LayerNorm(dim)
        self.token_norm = nn.LayerNorm(dim)
        self.attention = Attention(dim, self.num_heads)
        self.feed_forward = feed_forward(dim, self.mlp_ratio)

    def num_tokens(self, n: int) -> int:
        """Return `num_queries`."""
        return self.num_queries

    def forward(self, tokens: Tensor, context: TextContext | None = None) -> Tensor:
        """Return `(N, num_queries, D)` embeddings."""
        grid = to_grid(tokens, self.grid)  # (N, d, rows, columns)
        side, (rows, columns) = self.side, grid.shape[2:]
        pooled = F.adaptive_avg_pool2d(grid, side).flatten(2).transpose(1, 2)
        queries = self.coarse(pooled).flatten(0, 1)[:, None]  # (N m, 1, D)
        regions = grid.unflatten(3, (side, columns // side)).unflatten(2, (side, rows // side))
        regions = regions.permute(0, 2, 4, 3, 5, 1).flatten(3, 4).flatten(0, 2)  # (N m, region, d)
        fine = self.fine(regions) + self.places
        queries = queries + self.attention(self.query_norm(queries), self.token_norm(fine))
        queries = queries + self.feed_forward(queries)
        return queries.view(len(tokens), self.num_queries, -1)
