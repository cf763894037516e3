"""Pictures as the latents of a variational autoencoder: a latent space without holes, for diffusion and flow."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from mmgraph.errors import UsageError
from mmgraph_tokenizers import gaussian
from mmgraph_tokenizers.convolutional import ConvolutionalTokenizer
from mmgraph_tokenizers.standardizer import Standardizer


class VAETokenizer(ConvolutionalTokenizer):
    r"""The encoder gives a Gaussian; training decodes draws of it, and keeps it near the standard normal.

    \[ q(z \mid x) = \mathcal N(\mu(x), \sigma(x)^2), \qquad \hat x = D(z), \qquad
       L = \frac{\beta}{C S^2}\,\mathrm{KL}(q(z \mid x)\,\Vert\,\mathcal N(0, 1)) \]

    beside the reconstruction error, which is a mean over the C S^2 numbers of the picture. Tokens are the means,
    standardised per channel. With too large a beta the posterior collapses: the logged `kl` and `active_channels`
    fall to zero and the decoder paints the average picture.

    Shapes:
        `(N, C, S, S)` uint8 to `(N, (S / f)^2, latent_dim)` float, with f the downsampling factor.

    Args:
        image_size: Height and width S of the pictures.
        downsample: Factor f, a power of two that divides `image_size`.
        latent_dim: Numbers per latent.
        width: Channels of the first stage; doubled at each, up to four times.
        kl_weight: Weight beta of the divergence.
        weights: Trained weights: `zoo:NAME`, `run:DIR`, or `none` to train them.
        channels: Colour channels C.

    Raises:
        UsageError: If a number is out of range, or if an untrained tokenizer is used.

    Reference:
        Kingma and Welling, Auto-Encoding Variational Bayes, 2014 (arXiv 1312.6114); Rombach et al., High-Resolution
        Image Synthesis with Latent Diffusion Models, 2022 (arXiv 2112.10752).
    """

    name = "vae"
    discrete = False

    def __init__(
        self,
        image_size: int = 32,
        downsample: int = 8,
        *,
        latent_dim: int = 32,
        width: int = 48,
        kl_weight: float = 0.05,
        weights: str = "none",
        channels: int = 3,
    ) -> None:
        if kl_weight < 0:
            raise UsageError(f"kl_weight must be 0 or more, not {kl_weight}.")
        super().__init__(
            image_size, downsample, latent_dim=latent_dim, encoded_dim=2 * latent_dim, width=width, channels=channels
        )
        self.kl_weight = kl_weight
        self.standardizer = Standardizer()
        self.load_trained(weights)

    @property
    def fitted(self) -> bool:
        """Whether the latents' statistics are known."""
        return self.standardizer.fitted

    @property
    def token_dim(self) -> int:
        """Numbers per latent."""
        return self.latent_dim

    def latents(self, pictures: Tensor) -> Tensor:
        """Return the posterior means of floats in [-1, 1]."""
        return gaussian.split(self.encoder(pictures))[0]

    def reconstruct(self, pictures: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return D(z) of floats in [-1, 1], z a draw in training and the mean otherwise, and the weighted KL."""
        mean, log_variance = gaussian.split(self.encoder(pictures))
        nats = gaussian.divergence(mean, log_variance)
        self._measures = gaussian.report(nats)
        given = self.decoder(gaussian.sample(mean, log_variance) if self.training else mean)
        return given, {"divergence": self.kl_weight * nats.sum() / pictures.numel()}

    @torch.no_grad()
    def standardize(self, contents: Iterable[Tensor]) -> None:
        """Measure mean and deviation of the latents of training pictures; called when training ends."""
        self.standardizer.measure(self._tokens(self.latents(part)) for part in self.batches(contents))

    @torch.no_grad()
    def encode(self, contents: Tensor) -> Tensor:
        """Return standardised posterior means in raster order."""
        return self.standardizer(self._tokens(self.encoded(contents)))

    @torch.no_grad()
    def decode(self, tokens: Tensor) -> Tensor:
        """Return uint8 pictures."""
        latents = self.standardizer.undo(tokens).transpose(1, 2)  # (N, d, n)
        return self.painted(latents.unflatten(2, self.grid))

    @staticmethod
    def _tokens(latents: Tensor) -> Tensor:
        return latents.flatten(2).transpose(1, 2)
