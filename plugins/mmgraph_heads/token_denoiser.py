"""A small network that denoises single tokens, each with a noise level and a condition of its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TokenDenoiser(nn.Module):
    """Residual blocks of two layers, modulated (adaLN) by the time and the condition.

    Args:
        token_dim: Width d of a token.
        condition_dim: Width of the condition.
        width: Width of the blocks.
        depth: Number of blocks.
        frequencies: Number of sine and cosine pairs that tell the time.
    """

    def __init__(
        self, token_dim: int, condition_dim: int, *, width: int = 256, depth: int = 3, frequencies: int = 32
    ) -> None:
        super().__init__()
        self.rates: Tensor
        self.register_buffer("rates", torch.exp(torch.linspace(0, 6.9, frequencies)), persistent=False)  # 1 to 1,000
        self.time = nn.Sequential(nn.Linear(2 * frequencies, width), nn.SiLU(), nn.Linear(width, width))
        self.condition = nn.Linear(condition_dim, width)
        self.input = nn.Linear(token_dim, width)
        self.norm = nn.RMSNorm(width, elementwise_affine=False)
        self.modulations = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(depth))
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)) for _ in range(depth)
        )
        self.last_modulation = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, token_dim)
        for layer in (*self.modulations, self.last_modulation, self.output):  # each block starts as the identity
            assert isinstance(layer, nn.Linear)
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, state: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        """Return `(..., d)` of states `(..., d)`, times `(...)` and conditions that broadcast to `(..., C)`."""
        angles = time[..., None] * self.rates
        known = self.condition(condition)
        told = nn.functional.silu(self.time(torch.cat((angles.sin(), angles.cos()), dim=-1)) + known)  # (..., W)
        hidden = self.input(state) + known  # where all is noise, the answer is a function of the condition alone
        for modulation, layer in zip(self.modulations, self.layers, strict=True):
            shift, scale, gate = modulation(told).chunk(3, dim=-1)
            hidden = hidden + gate * layer(self.norm(hidden) * (1 + scale) + shift)
        shift, scale = self.last_modulation(told).chunk(2, dim=-1)
        return self.output(self.norm(hidden) * (1 + scale) + shift)
