"""Next-scale prediction: a picture is drawn from coarse to fine, each grid of codes at once (VAR)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgraph.errors import UsageError
from mmgraph.heads import Head, Prepared, Run
from mmgraph.randomness import SampleRandom
from mmgraph.tokenizers import Tokenizer
from mmgraph.vocabulary import Vocabulary
from mmgraph_heads.drawing import drawn_from


class NextScaleHead(Head):
    r"""Autoregression over grids: all codes of scale k at once, given what all coarser scales add up to.

    \[ L = -\sum_k \sum_{i \in s_k} \log p_\theta(w_{k,i} \mid F_{k-1}), \qquad F_0 = 0 \]

    At each place of scale k the body reads \(F_{k-1}\) there (the tokenizer's `scale_inputs`) mapped to its width, plus
    a learned vector for the scale. A place sees its own scale and all coarser ones.

    Shapes:
        tokens `(N, \sum_k s_k^2)` int64; hidden `(N, n, D)`; prediction `(N, n, V)`.

    Args:
        label_smoothing: Share of the target spread over the whole vocabulary.

    Raises:
        UsageError: If the tokenizer is continuous or has one scale only.

    Reference:
        Tian et al., Visual Autoregressive Modeling: Scalable Image Generation via Next-Scale Prediction, 2024
            (arXiv 2404.02905).
    """

    discrete = True
    order = "causal"
    timed = False
    shift = 0
    embeds = True

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def build(self, tokenizer: Tokenizer, vocabulary: Vocabulary, dim: int, condition_dim: int) -> None:
        """Create the map from the tokenizer's vectors and the vectors of the scales."""
        if not tokenizer.discrete:
            raise UsageError(
                f"the next_scale head models codes, but {type(tokenizer).__name__} gives vectors; "
                "use a multi-scale tokenizer, or a head for vectors such as flow."
            )
        self.ends = [0, *accumulate(side * side for side in tokenizer.scales)]
        # in tuples, so that their weights are saved once, by the model
        self._vocabulary = (vocabulary,)
        self._tokenizer = (tokenizer,)
        self.input = nn.Linear(tokenizer.code_dim, dim)
        self.scale = nn.Embedding(len(tokenizer.scales), dim)
        sizes = torch.tensor([stop - start for start, stop in pairwise(self.ends)])
        numbers = torch.arange(len(sizes)).repeat_interleave(sizes)
        self.numbers: Tensor
        self.register_buffer("numbers", numbers, persistent=False)  # (n,) the scale of each place

    def span_order(self, n: int) -> tuple[int, ...]:
        """Return the scale of each place."""
        return tuple(self.numbers.tolist())

    def embed(self, inputs: Tensor, usual: Callable[[Tensor], Tensor], offset: int = 0) -> Tensor:
        """Return what coarser scales say, in the model's width, and which scale asks: `(N, m, D)`."""
        return self.input(inputs) + self.scale(self.numbers[offset : offset + inputs.shape[1]])

    def prepare(
        self, tokens: Tensor, *, random: SampleRandom, time: Tensor | None = None, noise: Tensor | None = None
    ) -> Prepared:
        """Give each place the sum of all scales before its own; every code is scored."""
        return Prepared(self._coarser(tokens), tokens, torch.ones_like(tokens, dtype=torch.bool))

    def predict(self, hidden: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return logits `(..., V)`."""
        return self._vocabulary[0].logits(hidden)

    def loss(
        self, hidden: Tensor, prepared: Prepared, condition: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the summed cross-entropy in nats and the number of scored codes."""
        scored = prepared.score_mask
        logits = self.predict(hidden[scored]).float()
        total = F.cross_entropy(
            logits, prepared.targets[scored], reduction="sum", label_smoothing=self.label_smoothing
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
        """Yield the codes of all scales drawn so far, `(N, s_1^2)` to `(N, n)`; one step a scale, whatever `num_steps`.

        `run` gets the inputs of one scale `(N, s_k^2, d)`.
        """
        device = self.numbers.device
        drawn = torch.zeros(shape[0], 0, dtype=torch.long, device=device)
        for start, stop in pairwise(self.ends):
            logits = run(self._coarser(drawn)[:, start:stop], None)
            found = drawn_from(logits, random.uniform(stop - start), temperature)
            drawn = torch.cat((drawn, found.to(device)), dim=1)
            yield drawn

    def _coarser(self, ids: Tensor) -> Tensor:
        """Return the tokenizer's `scale_inputs` of ids of the vocabulary."""
        codes = self._vocabulary[0].codes(self.tokenizer_name, ids)
        return self._tokenizer[0].scale_inputs(codes).detach()
