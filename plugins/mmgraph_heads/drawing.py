"""Categorical draws from given uniform numbers, so that each sample draws from its own stream."""

from __future__ import annotations

import torch
from torch import Tensor


def drawn_from(logits: Tensor, draws: Tensor, temperature: float) -> Tensor:
    """Return categories `(...)`, drawn by inverting their distribution.

    Args:
        logits: `(..., V)`; -inf is never drawn.
        draws: Uniform in [0, 1), `(...)`.
        temperature: 0 takes the most likely.
    """
    if temperature <= 0:
        return logits.argmax(-1)
    cumulative = (logits.float() / temperature).softmax(-1).cumsum(-1)
    total = cumulative[..., -1:]
    draw = draws.to(total.device)[..., None] * total
    # a draw of exactly 0, or one rounded up to the total, must not take an impossible category
    draw = torch.minimum(draw, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, draw, right=True).squeeze(-1)
