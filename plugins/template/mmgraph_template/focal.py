"""Next-token prediction that looks away from what is easy (focal loss, arXiv 1708.02002)."""

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


class FocalHead(Head):
    r"""Cross-entropy weighted by how wrong the model still is.

    \[ L = -\sum_i (1 - p_i)^\gamma \log p_i, \qquad p_i = p_\theta(w_i \mid w_{<i}) \]

    Shapes:
        tokens `(N, n)` int64; hidden `(N, n, D)`; prediction `(..., V)`.

    Args:
        gamma: 0 gives the plain cross-entropy; larger values look more at rare and hard tokens.

    Reference:
        Lin et al., Focal Loss for Dense Object Detection, 2017.
    """

    discrete = True
    order = "causal"
    timed = False
    shift = 1

    def __init__(self, gamma: float = 1.0) -> None:
        super().__init__()
        if gamma < 0:
            raise ValueError(f"gamma must be at least 0, not {gamma}.")
        self.gamma = gamma

    def build(self, tokenizer: Tokenizer, vocabulary: Vocabulary, dim: int, condition_dim: int) -> None:
        """Keep the vocabulary, whose output matrix gives the logits."""
        if not tokenizer.discrete:
            raise UsageError(f"the focal head models codes, but {type(tokenizer).__name__} gives vectors.")
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
        """Return the summed focal loss and the number of scored tokens."""
        scored = prepared.score_mask
        logits = self.predict(hidden[scored]).float()  # (P, V)
        surprise = F.cross_entropy(logits, prepared.targets[scored], reduction="none")  # -log p
        return ((1 - torch.exp(-surprise)) ** self.gamma * surprise).sum(), scored.sum()

    def sample(
        self,
        run: Run,
        shape: tuple[int, ...],
        *,
        num_steps: int,
        random: SampleRandom,
        temperature: float = 1.0,
    ) -> Iterator[Tensor]:
        """Yield the ids drawn so far, `(N, 1)` to `(N, num_steps)`; temperature 0 takes the most likely."""
        drawn = torch.zeros(shape[0], 0, dtype=torch.long)
        for _ in range(num_steps):
            logits = run(drawn[:, -1:], None).float()  # (N, V)
            if temperature > 0:  # Gumbel's trick: the largest of logits with this noise is a draw
                noise = random.uniform(logits.shape[-1]).to(logits.device).clamp(1e-20, 1 - 1e-7)
                logits = logits / temperature - torch.log(-torch.log(noise))
            chosen = logits.argmax(-1, keepdim=True)
            drawn = torch.cat((drawn.to(chosen.device), chosen), dim=1)
            yield drawn
