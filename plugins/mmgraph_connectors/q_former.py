"""A querying transformer between a frozen encoder and a language model, told what is asked (InstructBLIP)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmgraph.connectors import Connector, TextContext
from mmgraph.tokenizers import Tokenizer
from mmgraph_connectors.attention import Attention, feed_forward


class QFormerConnector(Connector):
    r"""Learned queries talk to each other and to the text, then read the picture.

    \[ [q; w] \leftarrow [q; w] + \mathrm{Self}([q; w]), \qquad q \leftarrow q + \mathrm{Cross}(q, z), \qquad
       q \leftarrow q + \mathrm{FFN}_q(q), \; w \leftarrow w + \mathrm{FFN}_w(w) \]

    with w the context text (a question), so that the queries read what is asked for. What is to be written is
    never part of w.

    Shapes:
        `(N, n, d)` to `(N, num_queries, D)`.

    Args:
        num_queries: Positions, whatever n is.
        depth: Layers.
        num_heads: Attention heads; must divide the model's width.
        mlp_ratio: Hidden width of the feed-forwards over the model's width.
        text: Whether the queries read the text (InstructBLIP) or only the picture (BLIP-2).

    Reference:
        Li et al., BLIP-2, 2023 (arXiv 2301.12597); Dai et al., InstructBLIP, 2023 (arXiv 2305.06500).
    """

    def __init__(
        self,
        num_queries: int = 4,
        depth: int = 2,
        *,
        num_heads: int = 4,
        mlp_ratio: float = 2.0,
        text: bool = True,
    ) -> None:
        super().__init__()
        self.num_queries = num_queries
        self.depth = depth
        self.num_heads = num_heads
        self.mlp_ratio = mlp_ratio
        self.text_aware = text  # type: ignore[misc]

    def build(self, tokenizer: Tokenizer, dim: int) -> None:
        """Create the queries and layers."""
        self.projection = nn.Linear(tokenizer.token_dim, dim)
        self.places = nn.Parameter(0.5 * torch.randn(tokenizer.num_tokens, dim))
        self.queries = nn.Parameter(torch.randn(self.num_queries, dim))
        last = self.depth - 1
        self.layers = nn.ModuleList(
            _Layer(dim, self.num_heads, self.mlp_ratio, text=self.text_aware and depth < last)
            for depth in range(self.depth)
        )
        self.norm = nn.LayerNorm(dim)

    def num_tokens(self, n: int) -> int:
        """Return `num_queries`."""
        return self.num_queries

    def forward(self, tokens: Tensor, context: TextContext | None = None) -> Tensor:
        """Return `(N, num_queries, D)` embeddings."""
        seen = self.projection(tokens) + self.places
        queries = self.queries.expand(len(tokens), -1, -1)
        words, mask = (None, None) if context is None else (context.embeddings, context.mask)
        for layer in self.layers:
            queries, words = layer(queries, seen, words, mask)
        return self.norm(queries)


class _Layer(nn.Module):
    def __init__(self, dim: int, num_heads: int, mlp_ratio: float, *, text: bool) -> None:
        super().__init__()
        self.self_norm = nn.LayerNorm(dim)
        self.self_attention = Attention(dim, num_heads)
        self.query_norm = nn.LayerNorm(dim)
        self.token_norm = nn.LayerNorm(dim)
        self.cross_attention = Attention(dim, num_heads)
        self.feed_forward = feed_forward(dim, mlp_ratio)
        self.text_feed_forward = feed_forward(dim, mlp_ratio) if text else None  # the last layer's text is not read

    def forward(
        self, queries: Tensor, tokens: Tensor, words: Tensor | None, mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        m = queries.shape[1]
        joined, visible = queries, None
        if words is not None and mask is not None:
            joined = torch.cat((queries, words), dim=1)  # (N, m + k, D)
            visible = torch.cat((mask.new_ones(len(mask), m), mask), dim=1)[:, None]  # (N, 1, m + k)
        normed = self.self_norm(joined)
        joined = joined + self.self_attention(normed, normed, visible)
        queries = joined[:, :m]
        queries = queries + self.cross_attention(self.query_norm(queries), self.token_norm(tokens))
        queries = queries + self.feed_forward(queries)
        if words is not None and self.text_feed_forward is not None:
            words = joined[:, m:]
            words = words + self.text_feed_forward(words)
        return queries, words
