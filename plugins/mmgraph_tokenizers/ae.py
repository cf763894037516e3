"""Pictures as the latents of a small convolutional autoencoder, trained by `mmgraph.models.Autoencoder`."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from mmgraph_tokenizers.convolutional import ConvolutionalTokenizer


class AETokenizer(ConvolutionalTokenizer):
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
        Rombach et al., High-Resolution Image Synthesis with Latent Diffusion Models, 2022 (arXiv 2112.10752).
    """

    name = "ae"
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
        super().__init__(
            image_size, downsample, latent_dim=latent_dim, encoded_dim=latent_dim, width=width, channels=channels
        )
        self.register_buffer("mean", torch.empty(0))
        self.register_buffer("deviation", torch.empty(0))
        self.load_trained(weights)

    @property
    def token_dim(self) -> int:
        """Numbers per latent."""
        return self.latent_dim

    def latents(self, pictures: Tensor) -> Tensor:
        """Return E(x) of floats in [-1, 1]."""
        return self.encoder(pictures)

    def reconstruct(self, pictures: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return D(E(x)) of floats in [-1, 1]; no auxiliary loss."""
        return self.decoder(self.encoder(pictures)), {}

    @torch.no_grad()
    def standardize(self, contents: Iterable[Tensor]) -> None:
        """Measure mean and deviation of the latents of training pictures; called when training ends."""
        latents = torch.cat([self.latents(part) for part in self.batches(contents)])
        self.mean = latents.mean((0, 2, 3))
        self.deviation = latents.std((0, 2, 3)).clamp_min(1e-4)

    @torch.no_grad()
    def encode(self, contents: Tensor) -> Tensor:
        """Return standardised latents in raster order."""
        latents = self.encoded(contents).flatten(2).transpose(1, 2)  # (N, n, d)
        return (latents - self.mean) / self.deviation

    @torch.no_grad()
    def decode(self, tokens: Tensor) -> Tensor:
        """Return uint8 pictures."""
        latents = (tokens.to(self.mean) * self.deviation + self.mean).transpose(1, 2)
        return self.painted(latents.reshape(len(latents), self.latent_dim, *self.grid))
