"""What convolutional picture tokenizers share: a grid of latents, trained weights, refusals."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

from mmgraph.errors import UsageError
from mmgraph.pictures import to_float, to_uint8
from mmgraph.tokenizers import Tokenizer
from mmgraph_tokenizers import convolutions

BATCH = 256


class ConvolutionalTokenizer(Tokenizer):
    """An encoder to a grid of latents, a decoder from it, and what lies between to be said by subclasses.

    Subclasses give `latents` and `from_latents`, and in their constructor call `load_trained` last.

    Args:
        image_size: Height and width S of the pictures.
        downsample: Factor f, a power of two that divides `image_size`.
        latent_dim: Numbers per latent.
        encoded_dim: Numbers that the encoder gives per latent, where that differs.
        width: Channels of the first stage; doubled at each, up to four times.
        channels: Colour channels C.

    Raises:
        UsageError: If the factor does not fit the size.
    """

    modality = "image"
    name: ClassVar[str]
    """Its name among the tokenizers, for messages."""

    def __init__(
        self, image_size: int, downsample: int, *, latent_dim: int, encoded_dim: int, width: int, channels: int
    ) -> None:
        super().__init__()
        per_stage = convolutions.widths(width, convolutions.stages(image_size, downsample))
        self.image_size = image_size
        self.downsample = downsample
        self.latent_dim = latent_dim
        self.channels = channels
        self.encoder = convolutions.encoder(channels, per_stage, encoded_dim)
        self.decoder = convolutions.decoder(channels, per_stage, latent_dim)
        self._measures: dict[str, Tensor] = {}

    @property
    def grid(self) -> tuple[int, int]:
        """S / f rows and columns."""
        side = self.image_size // self.downsample
        return side, side

    @property
    def num_tokens(self) -> int:
        """(S / f)^2."""
        return self.grid[0] * self.grid[1]

    @property
    def last_layer(self) -> Tensor:
        """Weights of the convolution that paints the pixels."""
        return [layer for layer in self.decoder if isinstance(layer, nn.Conv2d)][-1].weight

    def measures(self) -> dict[str, Tensor]:
        """Return what the last `reconstruct` measured."""
        return self._measures

    def load_trained(self, weights: str) -> None:
        """Take the weights of `zoo:NAME` or `run:DIR`, and freeze; nothing for `none`."""
        if weights != "none":
            from mmgraph.models.saving import part_state

            self.load_state_dict(part_state(weights, "tokenizers.image"))
            self.requires_grad_(False)

    def fit(self, contents: Iterable[Tensor]) -> None:
        """Refuse: random weights are no tokenizer, and training them is a run of its own."""
        raise UsageError(
            f"the {self.name} tokenizer is not trained. Train one with `mmgraph fit` and mmgraph.models.Autoencoder "
            f"(recipes: ae, vae, vqvae, vqgan) and set weights: run:DIR, or take weights: zoo:NAME."
        )

    @abstractmethod
    def latents(self, pictures: Tensor) -> Tensor:
        """Return `(N, encoded_dim, S / f, S / f)` of floats in [-1, 1], in the form that `encode` makes tokens of."""

    def encoded(self, contents: Tensor) -> Tensor:
        """Return the latents of uint8 pictures.

        Raises:
            UsageError: If the pictures have another size.
        """
        if tuple(contents.shape[2:]) != (self.image_size, self.image_size):
            raise UsageError(
                f"the {self.name} tokenizer was made for pictures of {self.image_size} px, the data set gives "
                f"{tuple(contents.shape[2:])}; set image_size of both to one number."
            )
        return self.latents(to_float(contents))

    def painted(self, latents: Tensor) -> Tensor:
        """Return uint8 pictures of latents `(N, latent_dim, S / f, S / f)`."""
        return to_uint8(self.decoder(latents))

    def batches(self, contents: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield pictures as floats, some at a time."""
        for part in torch.stack(list(contents)).split(BATCH):
            yield to_float(part)
