"""The dense block: one set of weights for all modalities, time enters by adaLN-zero.

Pre-norm attention and SwiGLU as in Llama (Touvron et al. 2023, arXiv 2302.13971); modulation by the noise
level as in DiT (Peebles and Xie 2023, arXiv 2212.09748), evaluated once per picture and not per token.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from mmgraph.blocks import Block
from mmgraph.cache import LayerCache
from mmgraph.errors import UsageError
from mmgraph.sequence import MultimodalSequence


class DenseBlock(Block):
    r"""Pre-norm attention and a gated feed-forward, shared by all modalities.

    \[ x \leftarrow x + g_1\,\mathrm{Attn}(m_1(\mathrm{RMSNorm}(x))), \qquad
       x \leftarrow x + g_2\,\mathrm{FFN}(m_2(\mathrm{RMSNorm}(x))) \]

    On timed positions \(m(h) = h(1 + \mathrm{scale}) + \mathrm{shift}\) and the gates \(g\) come from the
    time by a zero-initialised layer, so that they start as the identity; elsewhere \(m(h) = h, g = 1\).

    Shapes:
        hidden `(B, L, D)` to `(B, L, D)`.

    Args:
        num_heads: Attention heads; must divide the model width.
        mlp_ratio: Hidden width of the feed-forward over the model width, before the 2/3 of a gated unit.
        dropout: Dropout on attention and feed-forward outputs.

    Reference:
        Peebles and Xie, Scalable Diffusion Models with Transformers, 2023 (arXiv 2212.09748).
        Touvron et al., LLaMA, 2023 (arXiv 2302.13971; pre-norm and SwiGLU).
    """

    def __init__(self, num_heads: int = 8, mlp_ratio: float = 4.0, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.mlp_ratio = mlp_ratio
        self.dropout = dropout

    def spawn(self) -> DenseBlock:
        """Return an unbuilt block with the same options."""
        return DenseBlock(self.num_heads, self.mlp_ratio, dropout=self.dropout)

    def build(self, dim: int, condition_dim: int) -> None:
        """Create the parameters.

        Raises:
            UsageError: If the heads do not divide the width.
        """
        if dim % self.num_heads:
            raise UsageError(
                f"num_heads {self.num_heads} does not divide the model's dim {dim}; choose a divisor."
            )
        inner = 8 * round(self.mlp_ratio * dim * 2 / 3 / 8)
        self.attention_norm = nn.RMSNorm(
            dim, elementwise_affine=False
        )  # the matrix that follows can hold a gain
        self.query_key_value = nn.Linear(dim, 3 * dim, bias=False)
        self.attention_output = nn.Linear(dim, dim, bias=False)
        self.mlp_norm = nn.RMSNorm(dim, elementwise_affine=False)
        self.gate_and_up = nn.Linear(dim, 2 * inner, bias=False)
        self.down = nn.Linear(inner, dim, bias=False)
        if condition_dim:
            self.modulation = nn.Linear(condition_dim, 6 * dim)
            nn.init.zeros_(self.modulation.weight)
            nn.init.zeros_(self.modulation.bias)

    def forward(
        self, hidden: Tensor, sequence: MultimodalSequence, cache: LayerCache | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the hidden states after attention and feed-forward; no auxiliary loss."""
        if sequence.condition is None:
            hidden = hidden + self._attend(self.attention_norm(hidden), sequence, cache)
            return hidden + self._feed_forward(self.mlp_norm(hidden)), {}
        table = self.modulation(F.silu(sequence.condition)).chunk(6, dim=-1)  # 6 x (spans, D)
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = table
        read = sequence.modulate(self.attention_norm(hidden), shift, scale)
        hidden = hidden + sequence.gate(self._attend(read, sequence, cache), gate)
        read = sequence.modulate(self.mlp_norm(hidden), mlp_shift, mlp_scale)
        return hidden + sequence.gate(self._feed_forward(read), mlp_gate), {}

    def _attend(self, read: Tensor, sequence: MultimodalSequence, cache: LayerCache | None) -> Tensor:
        rows, length, dim = read.shape
        split = self.query_key_value(read).view(rows, length, 3, self.num_heads, dim // self.num_heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)  # 3 x (B, H, L, K)
        if cache is not None:
            key, value = cache.extend(key, value)
        mask = sequence.mask
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=mask is None)
        mixed = self.attention_output(mixed.transpose(1, 2).reshape(rows, length, dim))
        return F.dropout(mixed, self.dropout, self.training)

    def _feed_forward(self, read: Tensor) -> Tensor:
        # two products of one matrix: splitting one product would cost a copy of its whole gradient
        gate, up = (F.linear(read, weight) for weight in self.gate_and_up.weight.chunk(2))
        return F.dropout(self.down(F.silu(gate) * up), self.dropout, self.training)
