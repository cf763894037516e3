"""The plainest text transformer: LayerNorm, learned positions, causal attention, GELU."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Layer(nn.Module):
    """Pre-norm causal attention and a feed-forward four times as wide."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm = nn.LayerNorm(dim)
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.mix = nn.Linear(dim, dim)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim)
        )

    def forward(self, hidden: Tensor) -> Tensor:
        rows, length, dim = hidden.shape
        mixed = self.query_key_value(self.attention_norm(hidden)).view(rows, length, 3, self.num_heads, -1)
        query, key, value = mixed.permute(2, 0, 3, 1, 4)  # 3 x (B, H, L, K)
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        hidden = hidden + self.mix(seen.transpose(1, 2).reshape(rows, length, dim))
        return hidden + self.feed_forward(hidden)


class SmallGPT(nn.Module):
    """Ids `(B, L)` to the mean cross-entropy of the next ones.

    Args:
        vocab_size: Number of ids.
        length: Longest sequence.
        dim: Width.
        depth: Layers.
        num_heads: Attention heads.
    """

    def __init__(self, vocab_size: int, length: int, *, dim: int, depth: int, num_heads: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocab_size, dim)
        self.places = nn.Embedding(length, dim)
        self.layers = nn.Sequential(*(Layer(dim, num_heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.output = nn.Linear(dim, vocab_size, bias=False)

    def forward(self, ids: Tensor, following: Tensor) -> Tensor:
        places = torch.arange(ids.shape[1], device=ids.device)
        hidden = self.norm(self.layers(self.words(ids) + self.places(places)))
        return F.cross_entropy(self.output(hidden).flatten(0, 1), following.flatten())
