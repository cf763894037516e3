"""diffusers' VQModel (VQGAN's network): codes of a codebook that is trained by gradient."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from mmgraph_tokenizers.codebook import use
from mmgraph_tokenizers.diffusers_network import DiffusersTokenizer, Options, norm_groups


class DiffusersVQTokenizer(DiffusersTokenizer):
    """Codes of diffusers' `VQModel`.

    Its codebook starts near zero and learns by gradient, without revival: trained from nothing it tends to use few
    codes, which the logged `perplexity` shows. The `vq` tokenizer is the one to train; this one reads what others
    trained.

    Shapes:
        `(N, C, S, S)` uint8 to `(N, (S / f)^2)` int64, f = 2^(number of widths - 1).

    Args:
        image_size: Height and width S of the pictures.
        widths: Channels of each stage; each but the last halves the picture.
        num_codes: Number of codes.
        latent_dim: Width of a code.
        layers_per_block: Residual blocks of a stage.
        weights: `none`, `zoo:NAME`, `run:DIR`, a folder in diffusers' layout, or `hub:NAME`.
        channels: Colour channels C.
        options: More arguments of `diffusers.VQModel`; a folder's config.json fills them.

    Raises:
        UsageError: If diffusers refuses the arguments, or an untrained tokenizer is used.
        RunError: If weights cannot be loaded.

    Reference:
        Esser et al., Taming Transformers for High-Resolution Image Synthesis, 2021 (arXiv 2012.09841); von Platen
        et al., Diffusers, 2022 (https://github.com/huggingface/diffusers).
    """

    name = "diffusers_vq"
    network_class = "VQModel"
    discrete = True
    fitted_buffers = ("frequencies",)

    def __init__(
        self,
        image_size: int = 32,
        widths: list[int] | tuple[int, ...] = (32, 64, 64),
        *,
        num_codes: int = 256,
        latent_dim: int = 16,
        layers_per_block: int = 1,
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
            "num_vq_embeddings": num_codes,
            "norm_num_groups": norm_groups(widths),
            "sample_size": image_size,
        }
        super().__init__(image_size, sizes, options=options, weights=weights)
        self.register_buffer("frequencies", torch.empty(0))
        self.load_trained(weights)

    @property
    def codebook_size(self) -> int:
        """Number of codes."""
        return int(self.network.config["num_vq_embeddings"])

    @property
    def code_dim(self) -> int:
        """Width of a code."""
        return self.network.quantize.vq_embed_dim

    def vectors(self, codes: Tensor) -> Tensor:
        """Return the vectors of codes."""
        return self.network.quantize.embedding(codes)

    def latents(self, pictures: Tensor) -> Tensor:
        """Return what is compared with the codes, of floats in [-1, 1]."""
        return self.network.encode(pictures).latents

    def paint(self, latents: Tensor) -> Tensor:
        """Return floats in [-1, 1] of the vectors of codes."""
        # its own `decode` would quantise again
        shown = latents if self.network.config["norm_type"] == "spatial" else None
        return self.network.decoder(self.network.post_quant_conv(latents), shown)

    def reconstruct(self, pictures: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the decoded codes of floats in [-1, 1], and the loss that codes and latents share."""
        latents = self.latents(pictures)
        passed, loss, (_, _, codes) = self.network.quantize(latents)
        self._measures = use(codes, self.codebook_size)
        return self.paint(passed), {"codebook": loss}

    @torch.no_grad()
    def standardize(self, contents: Iterable[Tensor]) -> None:
        """Count how often each code occurs in training pictures."""
        codes = torch.cat([self._codes(self.latents(part)).flatten() for part in self.batches(contents)])
        self.frequencies = torch.bincount(codes, minlength=self.codebook_size) / len(codes)

    @torch.no_grad()
    def encode(self, contents: Tensor) -> Tensor:
        """Return the codes in raster order."""
        return self._codes(self.encoded(contents))

    @torch.no_grad()
    def decode(self, tokens: Tensor) -> Tensor:
        """Return uint8 pictures."""
        return self.painted(self.vectors(tokens).transpose(1, 2).unflatten(2, self.grid))

    def _codes(self, latents: Tensor) -> Tensor:
        return self.network.quantize(latents)[2][2].view(len(latents), -1)
