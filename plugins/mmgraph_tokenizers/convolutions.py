"""The convolutional encoder and decoder that picture tokenizers put their latents between."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from mmgraph.errors import UsageError


def stages(image_size: int, downsample: int) -> int:
    """Return how often a picture is halved.

    Raises:
        UsageError: If the factor does not fit the size.
    """
    count = downsample.bit_length() - 1
    if downsample < 2 or 2**count != downsample or image_size % downsample:
        raise UsageError(f"downsample {downsample} must be a power of two from 2 that divides image_size {image_size}.")
    return count


def widths(width: int, count: int) -> list[int]:
    """Return the channels of each stage: doubled at each, up to four times the first."""
    return [min(4 * width, width * 2**stage) for stage in range(count)]


def encoder(channels: int, per_stage: list[int], latent_dim: int) -> nn.Sequential:
    """Return `(N, C, S, S)` to `(N, latent_dim, S / f, S / f)`.

    The first layer works on 2 x 2 patches: full resolution is where convolutions cost most.
    """
    down: list[nn.Module] = [
        nn.PixelUnshuffle(2),
        nn.Conv2d(4 * channels, per_stage[0], 3, padding=1),
        Residual(per_stage[0]),
    ]
    for before, after in pairwise(per_stage):
        down += [nn.Conv2d(before, after, 4, stride=2, padding=1), Residual(after)]
    return nn.Sequential(*down, nn.Conv2d(per_stage[-1], latent_dim, 1))


def decoder(channels: int, per_stage: list[int], latent_dim: int) -> nn.Sequential:
    """Return `(N, latent_dim, S / f, S / f)` to `(N, C, S, S)`."""
    up: list[nn.Module] = [
        Residual(per_stage[0]),
        nn.Conv2d(per_stage[0], 4 * channels, 3, padding=1),
        nn.PixelShuffle(2),
    ]
    for before, after in pairwise(per_stage):
        up = [Residual(after), nn.Conv2d(after, 4 * before, 1), nn.PixelShuffle(2), *up]
    return nn.Sequential(nn.Conv2d(latent_dim, per_stage[-1], 1), *up)


class Residual(nn.Module):
    """Group norm, SiLU and a 3 x 3 convolution, twice, around a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for _ in range(2))
        self.convolutions = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape `(N, width, h, w)`."""
        hidden = features
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            hidden = convolution(F.silu(norm(hidden)))
        return features + hidden
