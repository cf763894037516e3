"""The dense block: one set of weights for all modalities, time enters by adaLN-zero.

Pre-norm attention and SwiGLU as in Llama (Touvron et al. 2023, arXiv 2302.13971); modulation by the noise
level as in DiT (Peebles and Xie 2023, arXiv 2212.09748), evaluated once per picture and not per token.
"""

from __future__ import annotations

from torch import Tensor, nn

from mmgraph.blocks import Block
from mmgraph.cache import LayerCache
from mmgraph.sequence import MultimodalSequence
from mmgraph_blocks.layer import TimeInLayer, attend, check_heads, dropped, gated, inner_width, modulation, normalised


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
        check_heads(self.num_heads, dim)
        inner = inner_width(dim, self.mlp_ratio)
        self.query_key_value = nn.Linear(dim, 3 * dim, bias=False)
        self.attention_output = nn.Linear(dim, dim, bias=False)
        self.gate_and_up = nn.Linear(dim, 2 * inner, bias=False)
        self.down = nn.Linear(inner, dim, bias=False)
        if condition_dim:
            self.modulation = modulation(condition_dim, dim)

    def forward(
        self, hidden: Tensor, sequence: MultimodalSequence, cache: LayerCache | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the hidden states after attention and feed-forward; no auxiliary loss."""
        time = TimeInLayer(self, sequence)
        read = self.query_key_value(time.read(normalised(hidden), 0))
        mixed = self.attention_output(attend(read, self.num_heads, sequence, cache))
        hidden = hidden + time.gate(dropped(mixed, self.dropout, self.training), 0)
        read = time.read(normalised(hidden), 1)
        changed = gated(read, self.gate_and_up.weight, self.down.weight)
        return hidden + time.gate(dropped(changed, self.dropout, self.training), 1), {}
