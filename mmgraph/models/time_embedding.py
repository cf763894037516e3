"""Noise levels as vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TimeEmbedding(nn.Module):
    """Sinusoidal features of the time, then two layers: `(N,)` to `(N, condition_dim)`.

    Args:
        dim: Width of the result.
        frequencies: Number of sine and cosine pairs.
    """

    def __init__(self, dim: int, frequencies: int = 64) -> None:
        super().__init__()
        self.rates: Tensor
        self.register_buffer("rates", torch.exp(torch.linspace(0, 6.9, frequencies)), persistent=False)  # 1 to 1,000
        self.layers = nn.Sequential(nn.Linear(2 * frequencies, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, time: Tensor) -> Tensor:
        """Return the embedding of times in [0, 1]."""
        angles = time[:, None] * self.rates
        return self.layers(torch.cat((angles.sin(), angles.cos()), dim=-1))
