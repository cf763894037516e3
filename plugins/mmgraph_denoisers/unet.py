"""Convolutions down to a small grid and up again, with cross-attention on the way: diffusers' U-Net."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from typing import Any

from torch import Tensor, nn

from mmgraph.denoisers import Denoiser
from mmgraph.errors import UsageError


class UNetDenoiser(Denoiser):
    r"""Residual convolutions at falling and rising resolution, joined by skips; low resolutions attend to the memory.

    The network is diffusers' `UNet2DConditionModel`. It is told the noise level as 1,000 (1 - t); its last convolution
    starts at zero.

    Shapes:
        x `(N, C, h, w)`, time `(N,)`, memory `(N, m, d)` to `(N, C, h, w)`.

    Args:
        widths: Channels at each resolution, from the finest; each after the first halves the grid.
        layers: Residual blocks at each resolution on the way down; one more on the way up.
        num_heads: Attention heads; must divide the widths that attend.
        attends: At which of the resolutions it attends to the memory (and to itself), as many as `widths`; None: at all
            but the finest, or at that one if it is the only one. In the middle it always does.
        dropout: Dropout inside of residual blocks.

    Raises:
        UsageError: If the grid cannot be halved so often, or the options disagree.

    Reference:
        Ronneberger et al., U-Net, 2015 (arXiv 1505.04597).
        Ho et al., Denoising Diffusion Probabilistic Models, 2020 (arXiv 2006.11239; the U-Net of diffusion).
        Rombach et al., High-Resolution Image Synthesis with Latent Diffusion Models, 2022 (arXiv 2112.10752;
            cross-attention).
    """

    def __init__(
        self,
        widths: Sequence[int] = (48, 96),
        layers: int = 1,
        *,
        num_heads: int = 4,
        attends: Sequence[bool] | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.widths = tuple(widths)
        self.layers = layers
        self.num_heads = num_heads
        usual = (len(self.widths) == 1, *[True] * len(self.widths[1:]))
        self.attends = usual if attends is None else tuple(attends)
        self.dropout = dropout
        if not self.widths or len(self.attends) != len(self.widths):
            raise UsageError(
                f"the unet has {len(self.widths)} widths, but {len(self.attends)} values of `attends`; give one for "
                "each resolution, one resolution or more."
            )
        for width, attends_here in zip(self.widths, (*self.attends[:-1], True), strict=True):
            if attends_here and width % num_heads:
                raise UsageError(f"num_heads {num_heads} does not divide the unet's width {width}; choose a divisor.")

    def build(self, channels: int, grid: tuple[int, int], memory_dim: int) -> None:
        """Create the network; its last convolution starts at zero."""
        from diffusers import UNet2DConditionModel

        least = 2 ** (len(self.widths) - 1)
        if grid[0] % least or grid[1] % least:
            raise UsageError(
                f"the unet halves the grid of {grid[0]} x {grid[1]} {len(self.widths) - 1} times, which needs "
                f"multiples of {least}; give fewer widths."
            )
        down = tuple("CrossAttnDownBlock2D" if here else "DownBlock2D" for here in self.attends)
        up = tuple("CrossAttnUpBlock2D" if here else "UpBlock2D" for here in reversed(self.attends))
        network: Any = UNet2DConditionModel(
            in_channels=channels,
            out_channels=channels,
            down_block_types=down,
            up_block_types=up,
            block_out_channels=self.widths,
            layers_per_block=self.layers,
            # diffusers takes what it calls the head's dimension for the number of heads
            attention_head_dim=self.num_heads,
            cross_attention_dim=memory_dim,
            norm_num_groups=max(1, gcd(gcd(*self.widths) // 4, 8)),  # a group of one channel is 0 at a single place
            dropout=self.dropout,
        )
        nn.init.zeros_(network.conv_out.weight)
        nn.init.zeros_(network.conv_out.bias)
        self.network = network

    def forward(self, x: Tensor, time: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the prediction `(N, C, h, w)`."""
        return self.network(x, 1000 * (1 - time), memory, encoder_attention_mask=mask, return_dict=False)[0]
