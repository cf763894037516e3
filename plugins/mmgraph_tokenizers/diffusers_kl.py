"""diffusers' AutoencoderKL, the picture tokenizer of latent diffusion models, at any width."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from mmgraph_tokenizers import gaussian
from mmgraph_tokenizers.diffusers_network import DiffusersTokenizer, Options, norm_groups
from mmgraph_tokenizers.standardizer import Standardizer


class DiffusersKLTokenizer(DiffusersTokenizer):
    r"""Means of a Gaussian posterior, standardised per channel; the network is diffusers' `AutoencoderKL`.

    Trained as the `vae` tokenizer is: draws are decoded, and the divergence from the standard normal is a loss.

    Shapes:
        `(N, C, S, S)` uint8 to `(N, (S / f)^2, latent_dim)` float, f = 2^(number of widths - 1).

    Args:
        image_size: Height and width S of the pictures.
        widths: Channels of each stage; each but the last halves the picture.
        latent_dim: Numbers per latent.
        layers_per_block: Residual blocks of a stage.
        kl_weight: Weight of the divergence per number of the picture.
        weights: `none`, `zoo:NAME`, `run:DIR`, a folder in diffusers' layout, or `hub:NAME`.
        channels: Colour channels C.
        options: More arguments of `diffusers.AutoencoderKL`; a folder's config.json fills them.

    Raises:
        UsageError: If diffusers refuses the arguments, or an untrained tokenizer is used.
        RunError: If weights cannot be loaded.

    Reference:
        Rombach et al., High-Resolution Image Synthesis with Latent Diffusion Models, 2022 (arXiv 2112.10752); von
        Platen et al., Diffusers, 2022 (https://github.com/huggingface/diffusers).
    """

    name = "diffusers_kl"
    network_class = "AutoencoderKL"
    discrete = False

    def __init__(
        self,
        image_size: int = 32,
        widths: list[int] | tuple[int, ...] = (32, 64, 64),
        *,
        latent_dim: int = 16,
        layers_per_block: int = 1,
        kl_weight: float = 0.05,
        weights: str = "none",
        channels: int = 3,
        options: Options | None = None,
    ) -> None:
        sizes = {
            "in_channels": channels,
            "out_channels": channels,
            "down_block_types": ["DownEncoderBlock2D"] * len(widths),
            "up_block_types": ["UpDecoderBlock2D"] * len(widths),
            "block_out_channels": list(widths),
            "layers_per_block": layers_per_block,
            "latent_channels": latent_dim,
            "norm_num_groups": norm_groups(widths),
            "sample_size": image_size,
        }
        super().__init__(image_size, sizes, options=options, weights=weights)
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
        return int(self.network.config["latent_channels"])

    def latents(self, pictures: Tensor) -> Tensor:
        """Return the posterior means of floats in [-1, 1]."""
        return self.network.encode(pictures).latent_dist.mean

    def paint(self, latents: Tensor) -> Tensor:
        """Return floats in [-1, 1] of latents."""
        return self.network.decode(latents).sample

    def reconstruct(self, pictures: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the decoded draws (in training) or means of floats in [-1, 1], and the weighted divergence."""
        posterior = self.network.encode(pictures).latent_dist
        nats = gaussian.divergence(posterior.mean, posterior.logvar)
        self._measures = gaussian.report(nats)
        drawn = gaussian.sample(posterior.mean, posterior.logvar) if self.training else posterior.mean
        return self.paint(drawn), {"divergence": self.kl_weight * nats.sum() / pictures.numel()}

    @torch.no_grad()
    def standardize(self, contents: Iterable[Tensor]) -> None:
        """Measure mean and deviation of the latents of training pictures."""
        self.standardizer.measure(self.latents(part).flatten(2).transpose(1, 2) for part in self.batches(contents))

    @torch.no_grad()
    def encode(self, contents: Tensor) -> Tensor:
        """Return standardised posterior means in raster order."""
        return self.standardizer(self.encoded(contents).flatten(2).transpose(1, 2))

    @torch.no_grad()
    def decode(self, tokens: Tensor) -> Tensor:
        """Return uint8 pictures."""
        return self.painted(self.standardizer.undo(tokens).transpose(1, 2).unflatten(2, self.grid))
