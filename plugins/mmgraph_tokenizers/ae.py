"""Pictures as the latents of a small convolutional autoencoder, trained by `mmgraph.models.Autoencoder`."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgraph.errors import UsageError
from mmgraph.pictures import to_float, to_uint8
from mmgraph.tokenizers import Tokenizer


class AETokenizer(Tokenizer):
    r"""Convolutions down to a grid of latents and up again; latents are standardised per channel.

    \[ z = (E(x) - \mu) / \sigma, \qquad \hat x = D(\mu + \sigma z) \]

    Shapes:
        `(N, C, S, S)` uint8 to `(N, (S / f)^2, latent_dim)` float, with f the downsampling factor.

    Args:
        image_size: Height and width S of the pictures.
        downsample: Factor f, a power of two that divides `image_size`.
        latent_dim: Numbers per latent.
        width: Channels of the first stage; doubled at each, up to four times.
        weights: Trained weights: `zoo:NAME`, `run:DIR`, or `none` to train them.
        channels: Colour channels C.

    Raises:
        UsageError: If the factor does not fit the size, or if an untrained autoencoder is used.

    Reference:
        Rombach et al., High-Resolution Image Synthesis with Latent Diffusion Models, 2022.
    """

    modality = "image"
    discrete = False
    fitted_buffers = ("mean", "deviation")

    def __init__(
        self,
        image_size: int = 32,
        downsample: int = 8,
        *,
        latent_dim: int = 32,
        width: int = 48,
        weights: str = "none",
        channels: int = 3,
    ) -> None:
        super().__init__()
        stages = downsample.bit_length() - 1
        if downsample < 2 or 2**stages != downsample or image_size % downsample:
            raise UsageError(
                f"downsample {downsample} must be a power of two from 2 that divides image_size {image_size}."
            )
        self.image_size = image_size
        self.downsample = downsample
        self.latent_dim = latent_dim
        self.channels = channels
        widths = [min(4 * width, width * 2**stage) for stage in range(stages)]
        # the first and last layers work on 2 x 2 patches: full resolution is where convolutions cost most
        down: list[nn.Module] = [
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * channels, widths[0], 3, padding=1),
            Residual(widths[0]),
        ]
        up: list[nn.Module] = [
            Residual(widths[0]),
            nn.Conv2d(widths[0], 4 * channels, 3, padding=1),
            nn.PixelShuffle(2),
        ]
        for before, after in pairwise(widths):
            down += [nn.Conv2d(before, after, 4, stride=2, padding=1), Residual(after)]
            up = [Residual(after), nn.Conv2d(after, 4 * before, 1), nn.PixelShuffle(2), *up]
        self.encoder = nn.Sequential(*down, nn.Conv2d(widths[-1], latent_dim, 1))
        self.decoder = nn.Sequential(nn.Conv2d(latent_dim, widths[-1], 1), *up)
        self.register_buffer("mean", torch.empty(0))
        self.register_buffer("deviation", torch.empty(0))
        if weights != "none":
            from mmgraph.models.saving import part_state

            self.load_state_dict(part_state(weights, "tokenizers.image"))
            self.requires_grad_(False)

    @property
    def token_dim(self) -> int:
        """Numbers per latent."""
        return self.latent_dim

    @property
    def grid(self) -> tuple[int, int]:
        """S / f rows and columns."""
        side = self.image_size // self.downsample
        return side, side

    @property
    def num_tokens(self) -> int:
        """(S / f)^2."""
        return self.grid[0] * self.grid[1]

    def reconstruct(self, pictures: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return D(E(x)) of floats in [-1, 1]; no auxiliary loss."""
        return self.decoder(self.encoder(pictures)), {}

    def fit(self, contents: Iterable[Tensor]) -> None:
        """Refuse: a random autoencoder is no tokenizer, and training it is a run of its own."""
        raise UsageError(
            "the ae tokenizer is not trained. Train one with the recipe 'ae' and set weights: run:DIR, "
            "or take weights: zoo:ae."
        )

    @torch.no_grad()
    def standardize(self, contents: Iterable[Tensor]) -> None:
        """Measure mean and deviation of the latents of training pictures; called when training ends."""
        latents = torch.cat([self.encoder(to_float(part)) for part in torch.stack(list(contents)).split(256)])
        self.mean = latents.mean((0, 2, 3))
        self.deviation = latents.std((0, 2, 3)).clamp_min(1e-4)

    @torch.no_grad()
    def encode(self, contents: Tensor) -> Tensor:
        """Return standardised latents in raster order."""
        if tuple(contents.shape[2:]) != (self.image_size, self.image_size):
            raise UsageError(
                f"the ae tokenizer was made for pictures of {self.image_size} px, the data set gives "
                f"{tuple(contents.shape[2:])}; set image_size of both to one number."
            )
        latents = self.encoder(to_float(contents)).flatten(2).transpose(1, 2)  # (N, n, d)
        return (latents - self.mean) / self.deviation

    @torch.no_grad()
    def decode(self, tokens: Tensor) -> Tensor:
        """Return uint8 pictures."""
        latents = (tokens.to(self.mean) * self.deviation + self.mean).transpose(1, 2)
        return to_uint8(self.decoder(latents.reshape(len(latents), self.latent_dim, *self.grid)))


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
