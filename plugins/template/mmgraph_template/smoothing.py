"""Two convolutions, told the time and the mean of what is asked for."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgraph.denoisers import Denoiser


class SmoothingDenoiser(Denoiser):
    r"""A hidden layer shifted by time and prompt: \( \hat y = W_2 * \sigma(W_1 * x + u t + V \bar c) \).

    Shapes:
        x `(N, C, h, w)`, time `(N,)`, memory `(N, m, d)` to `(N, C, h, w)`.

    Args:
        width: Channels of the hidden layer.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.width = width

    def build(self, channels: int, grid: tuple[int, int], memory_dim: int) -> None:
        """Create the layers; the last starts at zero."""
        self.input = nn.Conv2d(channels, self.width, 3, padding=1)
        self.told = nn.Linear(memory_dim + 1, self.width)
        self.output = nn.Conv2d(self.width, channels, 3, padding=1)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, x: Tensor, time: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the prediction `(N, C, h, w)`."""
        there = torch.ones_like(memory[..., :1]) if mask is None else mask[..., None].to(memory)
        mean = (memory * there).sum(1) / there.sum(1)  # (N, d)
        shift = self.told(torch.cat((mean, time[:, None]), dim=1))
        return self.output(F.silu(self.input(x) + shift[:, :, None, None]))
