"""Gated cross-attention before a layer: a language model learns to see without forgetting (Flamingo).

The layer inside is untouched, and the gates start at zero: at step 0 the model is exactly the one without
pictures.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgraph.blocks import Block
from mmgraph.cache import LayerCache
from mmgraph.errors import UsageError
from mmgraph.sequence import MultimodalSequence


class GatedCrossAttentionBlock(Block):
    r"""Attend to what stands in memory, then run the layer inside.

    \[ x \leftarrow x + \tanh(\alpha)\,\mathrm{Cross}(\mathrm{RMSNorm}(x), M), \qquad
       x \leftarrow x + \tanh(\beta)\,\mathrm{FFN}(\mathrm{RMSNorm}(x)), \qquad x \leftarrow \mathrm{inner}(x) \]

    with \(\alpha = \beta = 0\) at the start. A position sees the pictures of its own sample that stand before it;
    where there is none, only the layer inside runs.

    Shapes:
        hidden `(B, L, D)` to `(B, L, D)`.

    Args:
        inner: The layer that is kept, for example `mmgraph.blocks.dense`.
        num_heads: Heads of the cross-attention; must divide the model width.
        mlp_ratio: Hidden width of the gated feed-forward over the model width.

    Reference:
        Alayrac et al., Flamingo: a Visual Language Model for Few-Shot Learning, 2022 (arXiv 2204.14198).
    """

    reads_memory = True

    def __init__(self, inner: Block, num_heads: int = 8, *, mlp_ratio: float = 2.0) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.mlp_ratio = mlp_ratio
        self._prototype = (inner,)  # in a tuple: the layer that runs is its copy, made in `build`
        self.modalities = inner.modalities

    def spawn(self) -> GatedCrossAttentionBlock:
        """Return an unbuilt block with the same options."""
        return GatedCrossAttentionBlock(self._prototype[0].spawn(), self.num_heads, mlp_ratio=self.mlp_ratio)

    def build(self, dim: int, condition_dim: int) -> None:
        """Create the cross-attention and the layer inside.

        Raises:
            UsageError: If the heads do not divide the width.
        """
        if dim % self.num_heads:
            raise UsageError(f"num_heads {self.num_heads} must divide the model width {dim}.")
        self.inner = self._prototype[0].spawn()
        self.inner.build(dim, condition_dim)
        self.cross = CrossAttention(dim, self.num_heads, int(dim * self.mlp_ratio))

    def forward(
        self, hidden: Tensor, sequence: MultimodalSequence, cache: LayerCache | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the hidden states after cross-attention and the layer inside, and that layer's losses."""
        for tokens, visible in sequence.memory.values():
            hidden = self.cross(hidden, tokens, visible)
        return self.inner(hidden, sequence, cache)

    def statistics(self) -> dict[str, Tensor]:
        """Return those of the layer inside."""
        return self.inner.statistics()


class CrossAttention(nn.Module):
    """Gated attention from the sequence to memory, and a gated feed-forward.

    Args:
        dim: Model width D.
        num_heads: Heads H.
        inner: Hidden width of the feed-forward.
    """

    def __init__(self, dim: int, num_heads: int, inner: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.RMSNorm(dim)
        self.query = nn.Linear(dim, dim, bias=False)
        self.memory_norm = nn.LayerNorm(dim)
        self.key_value = nn.Linear(dim, 2 * dim, bias=False)
        self.output = nn.Linear(dim, dim, bias=False)
        self.gate = nn.Parameter(torch.zeros(1))
        self.mlp = nn.Sequential(
            nn.RMSNorm(dim), nn.Linear(dim, inner, bias=False), nn.GELU(), nn.Linear(inner, dim, bias=False)
        )
        self.mlp_gate = nn.Parameter(torch.zeros(1))

    def forward(self, hidden: Tensor, memory: Tensor, visible: Tensor | None) -> Tensor:
        """Return `(B, L, D)`; positions that see nothing of the memory pass unchanged.

        Args:
            hidden: `(B, L, D)`.
            memory: `(B, M, D)`.
            visible: `(B, L, M)` bool; None: all is seen.
        """
        rows, length, dim = hidden.shape
        query = self.query(self.norm(hidden)).view(rows, length, self.num_heads, -1).transpose(1, 2)  # (B, H, L, K)
        pairs = self.key_value(self.memory_norm(memory)).view(rows, memory.shape[1], 2, self.num_heads, -1)
        key, value = pairs.permute(2, 0, 3, 1, 4)  # 2 x (B, H, M, K)
        mask = None if visible is None else visible[:, None]
        sees = None if visible is None else visible.any(-1, keepdim=True)  # (B, L, 1)
        if mask is not None and sees is not None:
            mask = mask | ~sees[:, None]  # softmax over nothing is NaN; what it gives there is dropped below
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        mixed = self.output(mixed.transpose(1, 2).reshape(rows, length, dim))
        changed = hidden + torch.tanh(self.gate) * mixed
        changed = changed + torch.tanh(self.mlp_gate) * self.mlp(changed)
        return changed if sees is None else torch.where(sees, changed, hidden)
