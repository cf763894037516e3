"""The contract of tokenizers, and the lazy names of every installed one.

A tokenizer turns content (strings, pictures) into tokens and back. Discrete ones give integer codes, which
the model's vocabulary embeds; continuous ones give vectors, which a connector maps to the model's width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

from torch import Tensor, nn

from mmgraph import registry
from mmgraph.configured import Configured
from mmgraph.errors import UsageError
from mmgraph.fitted import Fitted


class Tokenizer(Configured, Fitted, nn.Module, ABC):
    """Content to tokens and back.

    Shapes:
        text: `encode(list of str)` gives a list of int64 `(n,)`, lengths differ; `decode` takes such a list.
        image: `encode((N, C, height, width) uint8)` gives `(N, n, d)` float, or `(N, n)` int64 if discrete;
            `decode` gives `(N, C, height, width)` uint8.

    What is fitted (a vocabulary, a basis) is kept in buffers, so it travels as tensors with the weights.
    """

    modality: ClassVar[str]
    """Which segments it reads."""
    discrete: ClassVar[bool]
    """Whether tokens are codes of a finite codebook."""
    decodes: ClassVar[bool] = True
    """False for encoders that only see (CLIP-like)."""

    @property
    def codebook_size(self) -> int:
        """Number of codes of a discrete tokenizer."""
        raise ValueError(f"{type(self).__name__} is continuous: it has no codebook.")

    @property
    def token_dim(self) -> int:
        """Width d of one token of a continuous tokenizer."""
        raise ValueError(f"{type(self).__name__} is discrete: its tokens have no width.")

    @property
    def num_tokens(self) -> int:
        """Tokens of one picture; text has no fixed number."""
        raise ValueError(f"{type(self).__name__} has no fixed number of tokens.")

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of an image's tokens."""
        raise ValueError(f"{type(self).__name__} lays its tokens on no grid.")

    @property
    def code_dim(self) -> int:
        """Width d of the vectors that the codes of a discrete tokenizer stand for."""
        raise UsageError(f"the codes of {type(self).__name__} stand for no vectors.")

    @property
    def scales(self) -> tuple[int, ...]:
        """Sides of the square grids, coarse to fine, in which a multi-scale tokenizer lays its codes."""
        raise UsageError(f"{type(self).__name__} has no scales; next-scale prediction needs a multi-scale tokenizer.")

    def vectors(self, codes: Tensor) -> Tensor:
        """Return the vectors `(..., d)` of codes `(...)`."""
        raise UsageError(f"the codes of {type(self).__name__} stand for no vectors.")

    def scale_inputs(self, codes: Tensor) -> Tensor:
        """Return `(N, m, d)`: for each place of each scale, what all earlier scales together say there.

        What next-scale prediction reads; zeros at the first scale. `codes` `(N, k)` fill whole scales from the
        first on (k may be 0); the result covers these and, if there is one, the scale after them.
        """
        raise UsageError(f"{type(self).__name__} has no scales; next-scale prediction needs a multi-scale tokenizer.")

    def accumulate(self, codes: Tensor) -> Tensor:
        """Return `(N, d, side, side)`: the sum over whole scales from the first on, in the size of the last scale."""
        raise UsageError(f"{type(self).__name__} has no scales; next-scale prediction needs a multi-scale tokenizer.")

    @property
    def last_layer(self) -> Tensor:
        """Weights of the decoder's last layer, where an adversarial loss is weighed."""
        raise UsageError(f"{type(self).__name__} names no last layer, so it cannot be trained with adversarial_weight.")

    def measures(self) -> dict[str, Tensor]:
        """Return what the last `reconstruct` measured beside its losses, by name: logged, never trained."""
        return {}

    def standardize(self, contents: Iterable[Any]) -> None:
        """Measure the statistics of trained tokens on training contents; called when their training ends."""

    def reconstruct(self, pictures: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return `(N, C, height, width)` reconstructions of floats in [-1, 1], and auxiliary losses by name.

        What `mmgraph.models.Autoencoder` trains; gradients flow.
        """
        raise UsageError(f"{type(self).__name__} has no weights to train as an autoencoder.")

    def features(self, pictures: Tensor) -> Tensor:
        """Return `(N, n, d)` features of floats in [-1, 1], before any standardising.

        What `mmgraph.models.Contrastive` trains; gradients flow.
        """
        raise UsageError(f"{type(self).__name__} has no features to train contrastively.")

    def fit(self, contents: Iterable[Any]) -> None:
        """Learn what is learned from training contents (a vocabulary, a basis) and mark it fitted."""

    @abstractmethod
    def encode(self, contents: Any) -> Tensor | list[Tensor]:
        """Return the tokens of contents."""

    @abstractmethod
    def decode(self, tokens: Any) -> Any:
        """Return the contents of tokens."""


__getattr__, __dir__ = registry.lazy("tokenizers")
