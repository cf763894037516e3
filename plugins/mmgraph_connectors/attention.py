"""Attention from one set of tokens to another: what the query-based connectors share."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from mmgraph.errors import UsageError


class Attention(nn.Module):
    r"""Multi-head attention \( \mathrm{softmax}(QK^\top / \sqrt{K})\,V \) with pre-normed inputs.

    Shapes:
        queries `(N, m, D)`, keys `(N, k, D)`, mask `(N, 1 or m, k)` bool to `(N, m, D)`.

    Args:
        dim: Width D.
        num_heads: Heads; must divide the width.

    Raises:
        UsageError: If the heads do not divide the width.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        if dim % num_heads:
            raise UsageError(f"num_heads {num_heads} must divide the width {dim}.")
        self.num_heads = num_heads
        self.query = nn.Linear(dim, dim, bias=False)
        self.key_value = nn.Linear(dim, 2 * dim, bias=False)
        self.output = nn.Linear(dim, dim, bias=False)

    def forward(self, queries: Tensor, keys: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return what the queries read of the keys."""
        rows, m, dim = queries.shape
        query = self.query(queries).view(rows, m, self.num_heads, -1).transpose(1, 2)  # (N, H, m, K)
        key, value = self.key_value(keys).view(rows, keys.shape[1], 2, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=None if mask is None else mask[:, None])
        return self.output(mixed.transpose(1, 2).reshape(rows, m, dim))


def feed_forward(dim: int, ratio: float) -> nn.Sequential:
    """Return a pre-normed two-layer perceptron."""
    inner = int(dim * ratio)
    return nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, inner), nn.GELU(), nn.Linear(inner, dim))


def check_square(num_tokens: int) -> int:
    """Return the side of a square of `num_tokens`.

    Raises:
        UsageError: If it is no square.
    """
    side = round(num_tokens**0.5)
    if side < 1 or side * side != num_tokens:
        raise UsageError(f"num_queries {num_tokens} must be a square number (1, 4, 9, 16 ...): they lie on a grid.")
    return side


def to_grid(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return `(N, n, d)` tokens in raster order as a picture of features `(N, d, rows, columns)`."""
    return tokens.transpose(1, 2).unflatten(2, grid)
