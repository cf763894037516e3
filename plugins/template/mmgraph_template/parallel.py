"""Attention and feed-forward side by side (PaLM, arXiv 2204.02311), with time by modulation."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from mmgraph.blocks import Block
from mmgraph.cache import LayerCache
from mmgraph.errors import UsageError
from mmgraph.sequence import MultimodalSequence


class ParallelBlock(Block):
    r"""One norm, two branches, one sum.

    \[ x \leftarrow x + g\,(\mathrm{Attn}(h) + \mathrm{FFN}(h)), \qquad h = m(\mathrm{RMSNorm}(x)) \]

    On timed positions m and g come from the time, zero-initialised; elsewhere they are the identity.

    Shapes:
        hidden `(B, L, D)` to `(B, L, D)`.

    Args:
        num_heads: Attention heads; must divide the model width.
        mlp_ratio: Hidden width of the feed-forward over the model width.

    Reference:
        Chowdhery et al., PaLM, 2022.
    """

    def __init__(self, num_heads: int = 4, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.mlp_ratio = mlp_ratio

    def spawn(self) -> ParallelBlock:
        """Return an unbuilt block with the same options."""
        return ParallelBlock(self.num_heads, self.mlp_ratio)

    def build(self, dim: int, condition_dim: int) -> None:
        """Create the parameters.

        Raises:
            UsageError: If the heads do not divide the width.
        """
        if dim % self.num_heads:
            raise UsageError(
                f"num_heads {self.num_heads} does not divide the model's dim {dim}; choose a divisor."
            )
        inner = round(self.mlp_ratio * dim)
        self.norm = nn.RMSNorm(dim)
        self.query_key_value = nn.Linear(dim, 3 * dim, bias=False)
        self.attention_output = nn.Linear(dim, dim, bias=False)
        self.feed_forward = nn.Sequential(nn.Linear(dim, inner), nn.GELU(), nn.Linear(inner, dim))
        if condition_dim:
            self.modulation = nn.Linear(condition_dim, 3 * dim)
            nn.init.zeros_(self.modulation.weight)
            nn.init.zeros_(self.modulation.bias)

    def forward(
        self, hidden: Tensor, sequence: MultimodalSequence, cache: LayerCache | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the hidden states after both branches; no auxiliary loss."""
        read = self.norm(hidden)
        if sequence.condition is None:
            return hidden + self._attend(read, sequence, cache) + self.feed_forward(read), {}
        shift, scale, gate = self.modulation(F.silu(sequence.condition)).chunk(3, dim=-1)  # 3 x (spans, D)
        read = sequence.modulate(read, shift, scale)
        change = self._attend(read, sequence, cache) + self.feed_forward(read)
        return hidden + sequence.gate(change, gate), {}

    def _attend(self, read: Tensor, sequence: MultimodalSequence, cache: LayerCache | None) -> Tensor:
        rows, length, dim = read.shape
        split = self.query_key_value(read).view(rows, length, 3, self.num_heads, dim // self.num_heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)  # 3 x (B, H, L, K)
        if cache is not None:
            key, value = cache.extend(key, value)
        mask = sequence.mask
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=mask is None)
        return self.attention_output(mixed.transpose(1, 2).reshape(rows, length, dim))
