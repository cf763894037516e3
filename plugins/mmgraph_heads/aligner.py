"""From hidden states of the body to what a denoiser is told: a linear map, and a small transformer where asked for."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmgraph.errors import UsageError


class Aligner(nn.Module):
    """Vectors `(N, m, d)` to `(N, m, W)`, or to a fixed number of them.

    Args:
        in_dim: d.
        width: W.
        depth: Layers of a transformer in which all vectors see each other; 0: the linear map alone.
        num_tokens: Learned vectors that join them, and are all that is kept; None: the vectors themselves are.
        num_heads: Attention heads of each layer.

    Raises:
        UsageError: If learned vectors have no layer to read in, or the heads do not divide the width.
    """

    def __init__(self, in_dim: int, width: int, *, depth: int = 0, num_tokens: int | None = None, num_heads: int = 4):
        super().__init__()
        if num_tokens is not None and (depth < 1 or num_tokens < 1):
            raise UsageError(
                f"the connector of the denoising head keeps {num_tokens} learned vectors of {depth} layers; give "
                "connector_depth 1 or more, and connector_tokens 1 or more or none."
            )
        if depth and width % num_heads:
            raise UsageError(f"connector_heads {num_heads} does not divide the connector's width {width}.")
        self.input = nn.Linear(in_dim, width)
        self.latents = nn.Parameter(torch.randn(num_tokens, width)) if num_tokens is not None else None
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, num_heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(depth)
        )

    def forward(self, vectors: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the denoiser is told `(N, k, W)` and which of it there is `(N, k)` bool.

        Args:
            vectors: `(N, m, d)`.
            mask: Which of them there are, `(N, m)` bool.
        """
        found = self.input(vectors)
        if self.latents is not None:
            found = torch.cat((self.latents.expand(len(found), -1, -1), found), dim=1)
            mask = torch.cat((mask.new_ones(len(mask), len(self.latents)), mask), dim=1)
        absent = torch.zeros_like(mask, dtype=found.dtype).masked_fill(~mask, -torch.inf)
        for layer in self.layers:
            found = layer(found, src_key_padding_mask=absent)
        if self.latents is not None:
            return found[:, : len(self.latents)], mask[:, : len(self.latents)]
        return found, mask
