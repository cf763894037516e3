"""The contract of connectors, and the lazy names of every installed one.

A connector maps a continuous tokenizer's vectors to the model's width and says how many positions result.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from mmgraph import registry
from mmgraph.configured import Configured
from mmgraph.tokenizers import Tokenizer


@dataclass(frozen=True)
class TextContext:
    """The texts that stand as context beside a picture (a question, a caption; never what is to be written).

    Args:
        embeddings: `(N, k, D)`.
        mask: `(N, k)` bool, False behind the end of shorter texts; a row may have none at all.
    """

    embeddings: Tensor
    mask: Tensor

    def rows(self, index: Tensor) -> TextContext:
        """Return some of the rows."""
        return TextContext(self.embeddings[index], self.mask[index])


class Connector(Configured, nn.Module, ABC):
    """Tokens `(N, n, d)` to embeddings `(N, m, D)`.

    Options go to the constructor; sizes come from the neighbours in `build`, so that exchanging the
    tokenizer never leaves a stale number in a recipe.
    """

    text_aware: ClassVar[bool] = False
    """Whether `forward` wants the sample's context texts (instruction-aware queries); others get None."""

    fuses: ClassVar[bool] = False
    """Whether it can join the tokens of a second tokenizer to a span's own (`build_beside`, `fuse`)."""

    @abstractmethod
    def build(self, tokenizer: Tokenizer, dim: int) -> None:
        """Create the parameters for this tokenizer and model width."""

    def build_beside(self, tokenizer: Tokenizer, beside: Tokenizer) -> None:
        """Create the parameters for a second tokenizer, after `build`; only where `fuses` is True.

        Args:
            tokenizer: The span's own.
            beside: The one that reads the same contents beside it.
        """
        raise NotImplementedError(f"{type(self).__name__} fuses nothing")

    def fuse(self, tokens: Tensor, beside: Tensor) -> Tensor:
        """Return `(N, m, D)` embeddings of tokens `(N, n, d)` and a second tokenizer's `(N, k, e)`, of one content.

        Only where `fuses` is True; `forward` then embeds spans that the second tokenizer does not read.
        """
        raise NotImplementedError(f"{type(self).__name__} fuses nothing")

    @abstractmethod
    def num_tokens(self, n: int) -> int:
        """Return how many positions n tokens become; known before anything runs."""

    @abstractmethod
    def forward(self, tokens: Tensor, context: TextContext | None = None) -> Tensor:
        """Return `(N, m, D)` embeddings of `(N, n, d)` tokens.

        Args:
            tokens: What the tokenizer gave.
            context: The sample's context texts, for text-aware connectors in a sample that has any.
        """


__getattr__, __dir__ = registry.lazy("connectors")
