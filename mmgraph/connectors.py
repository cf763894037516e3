"""The contract of connectors, and the lazy names of every installed one.

A connector maps a continuous tokenizer's vectors to the model's width and says how many positions result.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from mmgraph import registry
from mmgraph.configured import Configured
from mmgraph.tokenizers import Tokenizer


class Connector(Configured, nn.Module, ABC):
    """Tokens `(N, n, d)` to embeddings `(N, m, D)`.

    Options go to the constructor; sizes come from the neighbours in `build`, so that exchanging the
    tokenizer never leaves a stale number in a recipe.
    """

    @abstractmethod
    def build(self, tokenizer: Tokenizer, dim: int) -> None:
        """Create the parameters for this tokenizer and model width."""

    @abstractmethod
    def num_tokens(self, n: int) -> int:
        """Return how many positions n tokens become; known before anything runs."""

    @abstractmethod
    def forward(self, tokens: Tensor, context: Tensor | None = None) -> Tensor:
        """Return `(N, m, D)` embeddings of `(N, n, d)` tokens.

        Args:
            tokens: What the tokenizer gave.
            context: Text embeddings `(N, k, D)` for text-aware connectors.
        """


__getattr__, __dir__ = registry.lazy("connectors")
