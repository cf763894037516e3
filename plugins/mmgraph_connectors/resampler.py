"""A few learned queries read any number of tokens (the Perceiver resampler of Flamingo)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmgraph.connectors import Connector, TextContext
from mmgraph.tokenizers import Tokenizer
from mmgraph_connectors.attention import Attention, feed_forward


class ResamplerConnector(Connector):
    r"""Learned queries attend to the tokens and to each other, layer after layer.

    \[ q \leftarrow q + \mathrm{Attn}(q, [z; q]), \qquad q \leftarrow q + \mathrm{FFN}(q) \]

    Shapes:
        `(N, n, d)` to `(N, num_queries, D)`.

    Args:
        num_queries: Positions, whatever n is.
        depth: Layers.
        num_heads: Attention heads; must divide the model's width.
        mlp_ratio: Hidden width of the feed-forward over the model's width.

    Reference:
        Alayrac et al., Flamingo: a Visual Language Model for Few-Shot Learning, 2022 (arXiv 2204.14198).
    """

    def __init__(self, num_queries: int = 4, depth: int = 2, *, num_heads: int = 4, mlp_ratio: float = 2.0) -> None:
        super().__init__()
        self.num_queries = num_queries
        self.depth = depth
        self.num_heads = num_heads
        self.mlp_ratio = mlp_ratio

    def build(self, tokenizer: Tokenizer, dim: int) -> None:
        """Create the queries and layers."""
        self.projection = nn.Linear(tokenizer.token_dim, dim)
        self.places = nn.Parameter(0.5 * torch.randn(tokenizer.num_tokens, dim))
        self.queries = nn.Parameter(torch.randn(self.num_queries, dim))
        self.layers = nn.ModuleList(_Layer(dim, self.num_heads, self.mlp_ratio) for _ in range(self.depth))
        self.norm = nn.LayerNorm(dim)

    def num_tokens(self, n: int) -> int:
        """Return `num_queries`."""
        return self.num_queries

    def forward(self, tokens: Tensor, context: TextContext | None = None) -> Tensor:
        """Return `(N, num_queries, D)` embeddings."""
        seen = self.projection(tokens) + self.places
        queries = self.queries.expand(len(tokens), -1, -1)
        for layer in self.layers:
            queries = layer(queries, seen)
        return self.norm(queries)


class _Layer(nn.Module):
    def __init__(self, dim: int, num_heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.query_norm = nn.LayerNorm(dim)
        self.token_norm = nn.LayerNorm(dim)
        self.attention = Attention(dim, num_heads)
        self.feed_forward = feed_forward(dim, mlp_ratio)

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        normed = self.query_norm(queries)
        queries = queries + self.attention(normed, torch.cat((self.token_norm(tokens), normed), dim=1))
        return queries + self.feed_forward(queries)
