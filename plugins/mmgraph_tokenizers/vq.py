"""Pictures as codes of a learned codebook: the tokens of early fusion and of next-token drawing (VQ-VAE)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor

from mmgraph_tokenizers.codebook import Codebook, quantize, use
from mmgraph_tokenizers.convolutional import ConvolutionalTokenizer


class VQTokenizer(ConvolutionalTokenizer):
    r"""Each latent of a convolutional encoder is replaced by the nearest of K codes.

    \[ k = \arg\min_j \lVert E(x) - c_j \rVert, \qquad \hat x = D(c_k), \qquad
       L = \beta\,\lVert E(x) - \mathrm{sg}[c_k] \rVert^2 / d \]

    Gradients pass from D to E straight through; codes are moving averages of what is assigned to them, start at
    the middles of the first batch, and are given a new place when they are hardly used. A small `latent_dim` with
    `distance: cosine` is the factorised codebook of ViT-VQGAN: the encoder's last layer projects.

    Shapes:
        `(N, C, S, S)` uint8 to `(N, (S / f)^2)` int64, with f the downsampling factor.

    Args:
        image_size: Height and width S of the pictures.
        downsample: Factor f, a power of two that divides `image_size`.
        num_codes: Number of codes K.
        latent_dim: Width d of a code.
        width: Channels of the first stage; doubled at each, up to four times.
        commitment_weight: Weight beta of the loss that keeps the encoder at its codes.
        decay: What the codes keep of each earlier batch.
        distance: `euclidean`, or `cosine`.
        revive_below: Share of its even use below which a code is given a new place; 0: never.
        weights: Trained weights: `zoo:NAME`, `run:DIR`, or `none` to train them.
        channels: Colour channels C.

    Raises:
        UsageError: If a number is out of range, or if an untrained tokenizer is used.

    Reference:
        van den Oord et al., Neural Discrete Representation Learning, 2017 (arXiv 1711.00937); Razavi et al.,
        Generating Diverse High-Fidelity Images with VQ-VAE-2, 2019 (arXiv 1906.00446); Yu et al.,
        Vector-quantized Image Modeling with Improved VQGAN, 2022 (arXiv 2110.04627).
    """

    name = "vq"
    discrete = True
    fitted_buffers = ("frequencies",)

    def __init__(
        self,
        image_size: int = 32,
        downsample: int = 8,
        *,
        num_codes: int = 256,
        latent_dim: int = 32,
        width: int = 48,
        commitment_weight: float = 0.25,
        decay: float = 0.99,
        distance: Literal["euclidean", "cosine"] = "euclidean",
        revive_below: float = 0.05,
        weights: str = "none",
        channels: int = 3,
    ) -> None:
        super().__init__(
            image_size, downsample, latent_dim=latent_dim, encoded_dim=latent_dim, width=width, channels=channels
        )
        self.commitment_weight = commitment_weight
        self.codebook = Codebook(num_codes, latent_dim, decay=decay, distance=distance, revive_below=revive_below)
        self.register_buffer("frequencies", torch.empty(0))
        self.load_trained(weights)

    @property
    def codebook_size(self) -> int:
        """K."""
        return self.codebook.size

    @property
    def code_dim(self) -> int:
        """Width of a code."""
        return self.latent_dim

    def vectors(self, codes: Tensor) -> Tensor:
        """Return the vectors of codes."""
        return self.codebook.lookup(codes)

    def latents(self, pictures: Tensor) -> Tensor:
        """Return E(x) as vectors `(N, S / f, S / f, d)`, which are compared with the codes."""
        return self.codebook.project(self.encoder(pictures).movedim(1, -1))

    def reconstruct(self, pictures: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the decoded codes of floats in [-1, 1], and the commitment; in training the codes follow."""
        passed, codes, commitment = quantize(self.codebook, self.encoder(pictures).movedim(1, -1))
        self._measures = use(codes, self.codebook_size)
        return self.decoder(passed.movedim(-1, 1)), {"commitment": self.commitment_weight * commitment}

    @torch.no_grad()
    def standardize(self, contents: Iterable[Tensor]) -> None:
        """Count how often each code occurs in training pictures; called when training ends."""
        codes = torch.cat([self.codebook.nearest(self.latents(part)).flatten() for part in self.batches(contents)])
        self.frequencies = torch.bincount(codes, minlength=self.codebook_size) / len(codes)

    @torch.no_grad()
    def encode(self, contents: Tensor) -> Tensor:
        """Return the codes in raster order."""
        return self.codebook.nearest(self.encoded(contents)).flatten(1)

    @torch.no_grad()
    def decode(self, tokens: Tensor) -> Tensor:
        """Return uint8 pictures."""
        vectors = self.vectors(tokens.to(self.codebook.codes.device))  # (N, n, d)
        return self.painted(vectors.unflatten(1, self.grid).movedim(-1, 1))
