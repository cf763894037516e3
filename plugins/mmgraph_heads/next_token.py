"""Next-token prediction: the chain rule over codes, one softmax per position."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from mmgraph.errors import UsageError
from mmgraph.heads import Head, Prepared, Run
from mmgraph.randomness import SampleRandom
from mmgraph.tokenizers import Tokenizer
from mmgraph.vocabulary import Vocabulary


class NextTokenHead(Head):
    r"""Autoregressive cross-entropy over the joint vocabulary.

    \[ L = -\sum_i \log p_\theta(w_i \mid w_{<i}) \]

    Shapes:
        tokens `(N, n)` int64; hidden `(N, n, D)`; prediction `(..., V)`.

    Args:
        label_smoothing: Share of the target spread over the whole vocabulary.

    Raises:
        UsageError: If the tokenizer is continuous.
    """

    discrete = True
    order = "causal"
    timed = False
    shift = 1

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def build(self, tokenizer: Tokenizer, vocabulary: Vocabulary, dim: int, condition_dim: int) -> None:
        """Keep the vocabulary, whose output matrix gives the logits."""
        if not tokenizer.discrete:
            raise UsageError(
                f"the next_token head models codes, but {type(tokenizer).__name__} gives vectors; "
                "use a discrete tokenizer, or a head for vectors such as flow."
            )
        self._vocabulary = (vocabulary,)  # in a tuple, so that its weights are saved once, by the model

    def prepare(
        self, tokens: Tensor, *, random: SampleRandom, time: Tensor | None = None, noise: Tensor | None = None
    ) -> Prepared:
        """Return the tokens as inputs and as targets; the model reads hidden states one position earlier."""
        return Prepared(tokens, tokens, torch.ones_like(tokens, dtype=torch.bool))

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
            logits = run(drawn[:, -1:], None)
            if temperature <= 0:
                chosen = logits.argmax(-1)
            else:
                cumulative = (logits.float() / temperature).softmax(-1).cumsum(-1)
                total = cumulative[:, -1:]
                draw = random.uniform().to(total.device)[:, None] * total
                # a draw of exactly 0, or one rounded up to the total, must not take an impossible id
                draw = torch.minimum(draw, torch.nextafter(total, torch.zeros_like(total)))
                chosen = torch.searchsorted(cumulative, draw, right=True).squeeze(-1)
            drawn = torch.cat((drawn.to(chosen.device), chosen[:, None]), dim=1)
            yield drawn
