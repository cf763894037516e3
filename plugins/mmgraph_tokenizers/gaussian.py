"""Diagonal Gaussian posteriors: their samples, and their divergence from the standard normal."""

from __future__ import annotations

import torch
from torch import Tensor

LOG_VARIANCE = (-30.0, 20.0)
"""Range of the log-variance; beyond it the exponential would over- or underflow."""


def split(moments: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and log-variance, the halves of `(N, 2 d, h, w)`."""
    mean, log_variance = moments.chunk(2, dim=1)
    return mean, log_variance.clamp(*LOG_VARIANCE)


def sample(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return a draw; gradients reach both (the noise comes from torch's global generator)."""
    return mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    r"""Return \( \mathrm{KL}(\mathcal N(\mu, \sigma^2)\,\Vert\,\mathcal N(0, 1)) \) of every number, in nats."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


def report(nats: Tensor) -> dict[str, Tensor]:
    """Return what shows a posterior that has collapsed, of the divergences `(N, d, h, w)`.

    `kl`: nats that a picture's latents carry beyond the prior. `active_channels`: share of channels that carry at
    least a hundredth of a nat on average; the decoder can learn nothing from the others.
    """
    channels = nats.detach().mean((0, 2, 3))
    return {"kl": nats.detach().sum((1, 2, 3)).mean(), "active_channels": channels.gt(0.01).float().mean()}
