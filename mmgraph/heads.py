"""The contract of heads (objectives), and the lazy names of every installed one.

A head owns one objective: what the body reads in place of the tokens, which positions are scored against
what, and how to sample.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from torch import Tensor, nn

from mmgraph import registry
from mmgraph.configured import Configured
from mmgraph.errors import UsageError
from mmgraph.randomness import SampleRandom

if TYPE_CHECKING:
    from mmgraph.tokenizers import Tokenizer
    from mmgraph.vocabulary import Vocabulary

Run = Callable[[Tensor, "Tensor | None"], Tensor]
"""`run(inputs, time)` gives the head's prediction: owned by the engine, cache and guidance inside."""


@dataclass
class Prepared:
    """One batch of spans, ready for the body.

    Args:
        inputs: What the body reads in place of the tokens: `(N, n)` ids of the joint vocabulary or `(N, n, d)` vectors;
            where the head `embeds`, whatever its `embed` takes, with the same leading shape.
        targets: What is scored, same leading shape.
        score_mask: Which positions are scored, `(N, n)` bool.
        time: Noise level per span `(N,)`, 0 = noise and 1 = data; None if the objective has none.
        noise: The noise that was added, so that a comparison can repeat it.
        levels: Noise level of each position `(N, n, ...)`, where the head denoises every token on its own.
        beside: What a second tokenizer gives of the same contents `(N, k, e)`, for heads that are built for one.
    """

    inputs: Tensor
    targets: Tensor
    score_mask: Tensor
    time: Tensor | None = None
    noise: Tensor | None = None
    levels: Tensor | None = None
    beside: Tensor | None = None


class Head(Configured, nn.Module, ABC):
    """One objective.

    Declares what it needs (`discrete` tokens or vectors, `order` on its span, whether it is `timed`, by how
    much its prediction is `shift`ed); the model refuses combinations that disagree.
    """

    discrete: ClassVar[bool]
    """Whether it models codes (True) or vectors (False)."""
    order: ClassVar[Literal["causal", "full"]]
    """Attention order that the objective needs on its own span."""
    timed: ClassVar[bool]
    """Whether its spans have a noise level."""
    shift: ClassVar[int]
    """The hidden state at position p predicts the token at position p + shift."""
    embeds: ClassVar[bool] = False
    """Whether its prepared inputs are embedded by its own `embed`."""
    apart: ClassVar[bool] = False
    """Whether the body never reads its tokens: a network of its own does (`denoise`), told what to draw by hidden
    states of what stands before. Its span takes no position."""
    reads: Literal["prompt", "queries"] = "prompt"
    """Of heads apart, whose hidden states: of everything in the sample before the span, or of its queries."""
    layer: int | None = None
    """Of heads apart, after how many of the body's blocks these states are taken; None: after all."""
    tokenizer_name: str = ""
    """What the model and the vocabulary call its tokenizer; the model sets it before `build`."""

    def span_order(self, n: int) -> Literal["causal", "full"] | tuple[int, ...]:
        """Return the attention order on a span of n tokens: the head's `order`, or one number per token.

        Equal numbers make a block and the numbers never fall: a position sees its own block and all before it. A head
        with blocks draws one after another, and `run` gets the inputs of one block at a time.
        """
        return self.order

    def places(self, n: int) -> Tensor | None:
        """Return which of a span's n tokens it reads first, second, ... `(n,)`; None = the tokenizer's order.

        Each token keeps the position embedding of its true place, so pictures that are context share the table.
        """
        return None

    def embed(self, inputs: Tensor, usual: Callable[[Tensor], Tensor], offset: int = 0) -> Tensor:
        """Return embeddings `(N, m, D)` of prepared inputs, where `embeds` is True.

        Args:
            inputs: What `prepare` gave, or m positions of it.
            usual: The connector, or the vocabulary's table: how tokens are embedded otherwise.
            offset: Where in its span the first of the m positions stands.
        """
        return usual(inputs)

    def arrange(self, tokens: Tensor) -> Tensor:
        """Return the first k sampled tokens `(N, k, ...)` by rising place, where the head reads them otherwise."""
        return tokens

    def guide(self, given: Tensor, null: Tensor, scale: float | Tensor) -> Tensor:
        """Return the guided prediction from those with and without the condition: null + scale (given - null).

        What `sample` gets from `run`. A head whose prediction must not be mixed may return both beside each other.
        The scale is one number, or one of each row, `(N, 1, ...)`.
        """
        return null + scale * (given - null)

    def with_sampler(self, sampler: str, options: Mapping[str, Any] | None = None) -> Head:
        """Return this head, with the same weights, drawing by another sampler; for one request.

        Raises:
            UsageError: If the head has one way of drawing only, or if the sampler does not fit.
        """
        raise UsageError(
            f"{type(self).__name__} draws in one way only, so it takes no sampler '{sampler}'; leave it out."
        )

    @abstractmethod
    def build(self, tokenizer: Tokenizer, vocabulary: Vocabulary, dim: int, condition_dim: int) -> None:
        """Create the parameters for this tokenizer, vocabulary, model width and conditioning width.

        Raises:
            UsageError: If the tokenizer's tokens are not what the objective models.
        """

    def build_beside(self, tokenizer: Tokenizer) -> None:
        """Take the size of a second tokenizer that reads the same contents, before `build`; most heads use none.

        Raises:
            UsageError: If the head has none.
        """
        raise UsageError(f"{type(self).__name__} has no use for a second tokenizer; leave it out of the processor.")

    @abstractmethod
    def prepare(
        self, tokens: Tensor, *, random: SampleRandom, time: Tensor | None = None, noise: Tensor | None = None
    ) -> Prepared:
        """Shift, mask or noise the tokens.

        Args:
            tokens: `(N, n)` ids of the joint vocabulary, or `(N, n, d)` vectors.
            random: One stream per span.
            time: Fixed noise levels `(N,)`, for paired evaluation.
            noise: Fixed noise, like `tokens`, for paired evaluation.
        """

    @abstractmethod
    def loss(
        self, hidden: Tensor, prepared: Prepared, condition: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the summed loss and the number of scored terms.

        Args:
            hidden: `(N, n, D)` hidden states that predict the span's tokens; for heads apart those that they read,
                `(N, m, D + 1)`, where the last number is 1, or 0 for padding.
            prepared: What `prepare` gave.
            condition: Conditioning vectors `(N, condition_dim)` of timed spans.
        """

    @abstractmethod
    def sample(
        self,
        run: Run,
        shape: tuple[int, ...],
        *,
        num_steps: int,
        random: SampleRandom,
        temperature: float = 1.0,
    ) -> Iterator[Tensor]:
        """Yield the tokens so far, from coarse to final: `(N, n)` ids of the joint vocabulary or `(N, n, d)` vectors.

        Heads with shift, or with blocks, yield the first k of them, `(N, k, ...)`.

        Args:
            run: Gives the head's prediction for inputs and time, with cache and guidance inside: of the whole span;
                of one block, for heads with blocks; of the token after the last, for heads with shift.
            shape: Shape of the tokens to draw, `(N, n)` or `(N, n, d)`; `(N,)` or `(N, d)` for heads with shift,
                which draw one token after another, as many as `num_steps`.
            num_steps: Number of steps of the sampler.
            random: One stream per span.
            temperature: Of categorical sampling; ignored by others.
        """

    @abstractmethod
    def predict(self, hidden: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the head's prediction from hidden states: logits `(..., V)` or vectors `(..., d)`.

        Heads apart return what their network is told, `(N, m, ...)`: once for a picture, and not at each step.
        """

    def denoise(self, inputs: Tensor, time: Tensor | None, told: Tensor) -> Tensor:
        """Return the prediction `(N, n, d)` of heads apart, from inputs and what `predict` gave."""
        raise NotImplementedError(f"{type(self).__name__} is not apart")


__getattr__, __dir__ = registry.lazy("heads")
