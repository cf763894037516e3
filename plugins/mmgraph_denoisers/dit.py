"""A transformer over the patches of a noised picture, told what to draw in one of three ways (DiT, PixArt)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgraph.denoisers import Denoiser
from mmgraph.models.time_embedding import TimeEmbedding
from mmgraph_denoisers.patches import FeedForward, Patches, attend, check_sizes, modulated, pooled, zeroed


class DiTDenoiser(Denoiser):
    r"""Pre-norm attention and feed-forward with shift, scale and gate (adaLN-zero), which start at zero.

    \[ x \leftarrow x + g_1\,\mathrm{Attn}(m_1(x)), \quad x \leftarrow x + g_2\,\mathrm{FFN}(m_2(x)), \qquad
       m(x) = \mathrm{LN}(x)(1 + \mathrm{scale}) + \mathrm{shift} \]

    What to draw enters by the `conditioning`:

    - `adaln`: the sum of the memory over the root of its length is added to the time, and each layer makes its shifts,
      scales and gates of that. Cheapest, and blind to the order of the memory beyond what its vectors say.
    - `cross_attention`: between attention and feed-forward the picture attends to the memory; shifts, scales and gates
      are of the time alone and one layer makes them for all, each adding a table of its own (adaLN-single).
    - `in_context`: time and memory stand before the picture as further tokens; shifts, scales and gates are learned
      constants.

    Shapes:
        x `(N, C, h, w)`, time `(N,)`, memory `(N, m, d)` to `(N, C, h, w)`.

    Args:
        width: Width D of the tokens.
        depth: Number of layers.
        num_heads: Attention heads.
        patch_size: Side of the square of x that becomes one token.
        conditioning: How it is told what to draw.
        mlp_ratio: Hidden width of the feed-forward over D.

    Raises:
        UsageError: If the heads do not divide the width, or the patches do not tile the grid.

    Reference:
        Peebles and Xie, Scalable Diffusion Models with Transformers, 2023 (arXiv 2212.09748).
        Chen et al., PixArt-alpha, 2023 (arXiv 2310.00426; cross-attention and adaLN-single).
    """

    def __init__(
        self,
        width: int = 192,
        depth: int = 4,
        *,
        num_heads: int = 4,
        patch_size: int = 2,
        conditioning: Literal["adaln", "cross_attention", "in_context"] = "adaln",
        mlp_ratio: float = 4.0,
    ) -> None:
        super().__init__()
        self.width = width
        self.depth = depth
        self.num_heads = num_heads
        self.patch_size = patch_size
        self.conditioning = conditioning
        self.mlp_ratio = mlp_ratio

    def build(self, channels: int, grid: tuple[int, int], memory_dim: int) -> None:
        """Create patches, layers and the output, which starts at zero."""
        check_sizes("dit", self.width, self.num_heads, self.patch_size, grid)
        dim = self.width
        self.patches = Patches(channels, grid, dim, self.patch_size)
        self.time = TimeEmbedding(dim)
        self.told = nn.Linear(memory_dim, dim)
        inner = round(dim * self.mlp_ratio)
        self.layers = nn.ModuleList(
            DiTLayer(dim, self.num_heads, inner, self.conditioning) for _ in range(self.depth)
        )
        if self.conditioning == "cross_attention":
            self.modulation = zeroed(nn.Linear(dim, 6 * dim))
        if self.conditioning != "in_context":
            self.last = zeroed(nn.Linear(dim, 2 * dim))

    def forward(self, x: Tensor, time: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the prediction `(N, C, h, w)`."""
        hidden, condition, told = self.patches(x), self.time(time), self.told(memory)
        if self.conditioning == "in_context":
            return self._in_context(hidden, condition, told, mask)
        if self.conditioning == "adaln":
            condition = condition + pooled(told, mask)
        condition = F.silu(condition)
        shared = self.modulation(condition) if self.conditioning == "cross_attention" else condition
        for layer in self.layers:
            hidden = layer(hidden, shared, told, mask)
        shift, scale = self.last(condition)[:, None].chunk(2, dim=-1)
        return self.patches.back(modulated(hidden, shift, scale))

    def _in_context(self, hidden: Tensor, condition: Tensor, told: Tensor, mask: Tensor | None) -> Tensor:
        before = 1 + told.shape[1]
        hidden = torch.cat((condition[:, None], told, hidden), dim=1)  # (N, 1 + m + n, D)
        seen = None
        if mask is not None:
            always = mask.new_ones(len(mask), hidden.shape[1])
            seen = torch.cat((always[:, :1], mask, always[:, before:]), dim=1)
        for layer in self.layers:
            hidden = layer(hidden, None, None, seen)
        return self.patches.back(F.layer_norm(hidden[:, before:], hidden.shape[-1:], eps=1e-6))


class DiTLayer(nn.Module):
    """One layer; at first the identity.

    Args:
        dim: Width D.
        num_heads: Attention heads.
        inner: Hidden width of the feed-forward.
        conditioning: As in `DiTDenoiser`.
    """

    def __init__(self, dim: int, num_heads: int, inner: int, conditioning: str) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.attention_output = nn.Linear(dim, dim)
        self.mlp = FeedForward(dim, inner)
        self.adaln, self.crosses = conditioning == "adaln", conditioning == "cross_attention"
        if self.adaln:
            self.modulation = zeroed(nn.Linear(dim, 6 * dim))
        else:
            self.table = nn.Parameter(torch.zeros(6 * dim))
        if self.crosses:
            self.query = nn.Linear(dim, dim)
            self.key_value = nn.Linear(dim, 2 * dim)
            self.cross_output = zeroed(nn.Linear(dim, dim))

    def forward(self, hidden: Tensor, condition: Tensor | None, told: Tensor | None, mask: Tensor | None) -> Tensor:
        """Return `(N, n, D)`.

        Args:
            hidden: `(N, n, D)`.
            condition: What shifts, scales and gates are made of: `(N, D)`; `(N, 6 D)` for cross-attention; None in
                context.
            told: What to draw `(N, m, D)`.
            mask: Which of those there are; in context, which positions there are.
        """
        if self.adaln:
            table = self.modulation(condition)
        else:
            table = self.table[None] if condition is None else self.table + condition
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = table[:, None].chunk(6, dim=-1)
        query, key, value = self.query_key_value(modulated(hidden, shift, scale)).chunk(3, dim=-1)
        seen = None if self.crosses or self.adaln else mask
        mixed = attend(query, key, value, self.num_heads, seen)
        hidden = torch.addcmul(hidden, gate, self.attention_output(mixed))
        if self.crosses:
            key, value = self.key_value(told).chunk(2, dim=-1)
            hidden = hidden + self.cross_output(attend(self.query(hidden), key, value, self.num_heads, mask))
        return torch.addcmul(hidden, gate_mlp, self.mlp(modulated(hidden, shift_mlp, scale_mlp)))
