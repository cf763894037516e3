"""Next-token prediction: the chain rule over codes, in any fixed order, one softmax per position."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from mmgraph.errors import UsageError
from mmgraph.heads import Head, Prepared, Run
from mmgraph.randomness import SampleRandom
from mmgraph.tokenizers import Tokenizer
from mmgraph.vocabulary import Vocabulary
from mmgraph_heads.drawing import drawn_from
from mmgraph_heads.visiting import visited


class NextTokenHead(Head):
    r"""Autoregressive cross-entropy over the joint vocabulary.

    \[ L = -\sum_i \log p_\theta(w_{\pi(i)} \mid w_{\pi(1)}, \dots, w_{\pi(i-1)}) \]

    The order \(\pi\) is that of the text, and for pictures any fixed one: each code keeps the position embedding of
    its true place, so the product is the same distribution factorised another way.

    Shapes:
        tokens `(N, n)` int64; hidden `(N, n, D)`; prediction `(..., V)`.

    Args:
        label_smoothing: Share of the target spread over the whole vocabulary.
        order: In which order a picture's codes are read and drawn: `raster` (row by row), `reversed`, `spiral` (from
            the rim inwards) or `random` (one permutation for all pictures).
        order_seed: Decides the random order.

    Raises:
        UsageError: If the tokenizer is continuous, or if its tokens cannot be read in that order.

    Reference:
        Esser et al., Taming Transformers for High-Resolution Image Synthesis, 2021 (arXiv 2012.09841; orders).
        Sun et al., Autoregressive Model Beats Diffusion: Llama for Scalable Image Generation, 2024
            (arXiv 2406.06525).
    """

    discrete = True
    order = "causal"
    timed = False
    shift = 1

    def __init__(
        self,
        label_smoothing: float = 0.0,
        *,
        order: Literal["raster", "reversed", "spiral", "random"] = "raster",
        order_seed: int = 0,
    ) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.visits = order
        self.order_seed = order_seed
        self._places: Tensor | None = None

    def build(self, tokenizer: Tokenizer, vocabulary: Vocabulary, dim: int, condition_dim: int) -> None:
        """Keep the vocabulary, whose output matrix gives the logits."""
        if not tokenizer.discrete:
            raise UsageError(
                f"the next_token head models codes, but {type(tokenizer).__name__} gives vectors; "
                "use a discrete tokenizer, or a head for vectors such as flow."
            )
        self._vocabulary = (vocabulary,)  # in a tuple, so that its weights are saved once, by the model
        if self.visits != "raster":
            try:
                rows, columns = tokenizer.grid
            except ValueError as error:
                raise UsageError(
                    f"the order '{self.visits}' of the next_token head is one on a grid, but the tokens of "
                    f"{type(tokenizer).__name__} lie on none; use order raster."
                ) from error
            self._places = visited(self.visits, rows, columns, self.order_seed)

    def places(self, n: int) -> Tensor | None:
        """Return the place of the first, second, ... token read; None for raster order."""
        return self._places

    def prepare(
        self, tokens: Tensor, *, random: SampleRandom, time: Tensor | None = None, noise: Tensor | None = None
    ) -> Prepared:
        """Return the tokens as inputs and as targets; the model reads hidden states one position earlier."""
        if self._places is not None:
            tokens = tokens[:, self._places]
        return Prepared(tokens, tokens, torch.ones_like(tokens, dtype=torch.bool))

    def arrange(self, tokens: Tensor) -> Tensor:
        """Return the first k drawn by rising place."""
        return tokens if self._places is None else tokens[:, self._places[: tokens.shape[1]].argsort()]

    def predict(self, hidden: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return logits `(..., V)`."""
        return self._vocabulary[0].logits(hidden)

    def loss(
        self, hidden: Tensor, prepared: Prepared, condition: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the summed cross-entropy in nats and the number of scored tokens."""
        scored = prepared.score_mask
        logits = self.predict(hidden[scored])  # (P, V): unscored positions never meet the vocabulary
        targets = prepared.targets[scored]
        total = F.cross_entropy(
            logits.float(), targets, reduction="sum", label_smoothing=self.label_smoothing
        )
        return total, scored.sum()

    def sample(
        self,
        run: Run,
        shape: tuple[int, ...],
        *,
        num_steps: int,
        random: SampleRandom,
        temperature: float = 1.0,
    ) -> Iterator[Tensor]:
        """Yield the ids drawn so far, `(N, 1)` to `(N, num_steps)`; temperature 0 takes the most likely.

        `run` gets the last id drawn, `(N, 1)` (an empty tensor at first), and returns logits `(N, V)`.
        """
        drawn = torch.zeros(shape[0], 0, dtype=torch.long)
        for _ in range(num_steps):
            chosen = drawn_from(run(drawn[:, -1:], None), random.uniform(), temperature)
            drawn = torch.cat((drawn.to(chosen.device), chosen[:, None]), dim=1)
            yield drawn
