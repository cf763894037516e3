"""diffusers' AutoencoderTiny: a distilled autoencoder without norms or attention, made to be fast."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from mmgraph.errors import UsageError
from mmgraph_tokenizers.diffusers_network import DiffusersTokenizer, Options
from mmgraph_tokenizers.standardizer import Standardizer


class DiffusersTinyTokenizer(DiffusersTokenizer):
    """Latents of diffusers' `AutoencoderTiny`, standardised per channel; no auxiliary loss.

    Shapes:
        `(N, C, S, S)` uint8 to `(N, (S / f)^2, latent_dim)` float, f = 2^(number of widths - 1).

    Args:
        image_size: Height and width S of the pictures.
        widths: Channels of each stage, all the same; each but the first halves the picture.
        latent_dim: Numbers per latent.
        blocks_per_stage: Residual blocks of a stage; the one at full resolution has one.
        weights: `none`, `zoo:NAME`, `run:DIR`, a folder in diffusers' layout, or `hub:NAME`.
        channels: Colour channels C.
        options: More arguments of `diffusers.AutoencoderTiny`; a folder's config.json fills them.

    Raises:
        UsageError: If diffusers refuses the arguments, or an untrained tokenizer is used.
        RunError: If weights cannot be loaded.

    Reference:
        von Platen et al., Diffusers, 2022 (https://github.com/huggingface/diffusers); Boer Bohan, TAESD, 2023
        (https://github.com/madebyollin/taesd).
    """

    name = "diffusers_tiny"
    network_class = "AutoencoderTiny"
    discrete = False

    def __init__(
        self,
        image_size: int = 32,
        widths: list[int] | tuple[int, ...] = (32, 32, 32),
        *,
        latent_dim: int = 16,
        blocks_per_stage: int = 2,
        weights: str = "none",
        channels: int = 3,
        options: Options | None = None,
    ) -> None:
        if len(set(widths)) > 1:
            raise UsageError(f"all stages of AutoencoderTiny have one width, not {list(widths)}.")
        blocks = [1, *[blocks_per_stage] * (len(widths) - 1)]
        sizes = {
            "in_channels": channels,
            "out_channels": channels,
            "encoder_block_out_channels": list(widths),
            "decoder_block_out_channels": list(widths)[::-1],
            "latent_channels": latent_dim,
            "num_encoder_blocks": blocks,
            "num_decoder_blocks": blocks[::-1],
        }
        super().__init__(image_size, sizes, options=options, weights=weights)
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
        """Return the latents of floats in [-1, 1]."""
        return self.network.encode(pictures).latents

    def paint(self, latents: Tensor) -> Tensor:
        """Return floats, in [-1, 1] once trained, of latents."""
        return self.network.decode(latents).sample

    def reconstruct(self, pictures: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the decoded latents of floats in [-1, 1]; no auxiliary loss."""
        return self.paint(self.latents(pictures)), {}

    @torch.no_grad()
    def standardize(self, contents: Iterable[Tensor]) -> None:
        """Measure mean and deviation of the latents of training pictures."""
        self.standardizer.measure(self.latents(part).flatten(2).transpose(1, 2) for part in self.batches(contents))

    @torch.no_grad()
    def encode(self, contents: Tensor) -> Tensor:
        """Return standardised latents in raster order."""
        return self.standardizer(self.encoded(contents).flatten(2).transpose(1, 2))

    @torch.no_grad()
    def decode(self, tokens: Tensor) -> Tensor:
        """Return uint8 pictures."""
        return self.painted(self.standardizer.undo(tokens).transpose(1, 2).unflatten(2, self.grid))
