"""Masked prediction of codes, drawn in a few parallel steps: discrete diffusion with an absorbing state."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from mmgraph.errors import UsageError
from mmgraph.heads import Head, Prepared, Run
from mmgraph.randomness import SampleRandom
from mmgraph.tokenizers import Tokenizer
from mmgraph.vocabulary import MASK, Vocabulary
from mmgraph_heads.drawing import drawn_from


class MaskedHead(Head):
    r"""Cross-entropy on hidden codes, of which a random share is hidden.

    \[ r = \cos(\tfrac{\pi}{2} u), \quad u \sim U(0, 1), \qquad
       L = -\sum_{i \in M} \log p_\theta(w_i \mid w_{\setminus M}), \quad |M| = \max(1, \mathrm{round}(r n)) \]

    Drawing starts with all n places hidden. Step k of K draws every hidden place at once, keeps those drawn with the
    highest confidence \(\log p + \tau (1 - k / K)\, g\) with Gumbel noise g, and leaves
    \(\lfloor n \cos(\tfrac{\pi}{2} \tfrac{k}{K}) \rfloor\) hidden for the steps to come.

    Shapes:
        tokens `(N, n)` int64; hidden `(N, n, D)`; prediction `(N, n, V)`.

    Args:
        label_smoothing: Share of the target spread over the whole vocabulary.
        choice_temperature: The \(\tau\) above; 0 keeps the most confident, more lets chance choose.

    Raises:
        UsageError: If the tokenizer is continuous.

    Reference:
        Chang et al., MaskGIT: Masked Generative Image Transformer, 2022 (arXiv 2202.04200).
        Xie et al., Show-o: One Single Transformer to Unify Multimodal Understanding and Generation, 2024
            (arXiv 2408.12528).
        Austin et al., Structured Denoising Diffusion Models in Discrete State-Spaces, 2021 (arXiv 2107.03006).
    """

    discrete = True
    order = "full"
    timed = False
    shift = 0

    def __init__(self, label_smoothing: float = 0.0, *, choice_temperature: float = 4.5) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.choice_temperature = choice_temperature

    def build(self, tokenizer: Tokenizer, vocabulary: Vocabulary, dim: int, condition_dim: int) -> None:
        """Keep the vocabulary, whose output matrix gives the logits.

        Raises:
            UsageError: If the tokenizer does not give the codes of pictures.
        """
        if not tokenizer.discrete:
            raise UsageError(
                f"the masked head models codes, but {type(tokenizer).__name__} gives vectors; "
                "use a discrete tokenizer, or a head for vectors such as mar."
            )
        if tokenizer.modality == "text":
            raise UsageError(
                f"the masked head fills a fixed number of places, but the texts of {type(tokenizer).__name__} have any "
                "length; use next_token."
            )
        self._vocabulary = (vocabulary,)  # in a tuple, so that its weights are saved once, by the model

    def prepare(
        self, tokens: Tensor, *, random: SampleRandom, time: Tensor | None = None, noise: Tensor | None = None
    ) -> Prepared:
        """Hide a random set of the tokens."""
        n = tokens.shape[1]
        count = (torch.cos(random.uniform() * (math.pi / 2)) * n).round().clamp_min(1)  # (N,)
        rank = random.uniform(n).argsort(1).argsort(1)  # (N, n)
        hidden = (rank < count[:, None]).to(tokens.device)
        return Prepared(tokens.masked_fill(hidden, MASK), tokens, hidden)

    def predict(self, hidden: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return logits `(..., V)`."""
        return self._vocabulary[0].logits(hidden)

    def loss(
        self, hidden: Tensor, prepared: Prepared, condition: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the summed cross-entropy of the hidden tokens in nats, and their number."""
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
        """Yield all places filled `(N, n)` after each step; those still hidden may change in the next.

        A step fills one place at least, so that there are never more steps than places.
        """
        n = shape[1]
        ids = torch.full(shape, MASK, dtype=torch.long)
        hidden = torch.ones(shape, dtype=torch.bool)
        left = n
        for step in range(1, num_steps + 1):
            logits = run(ids, None)
            ids, hidden = ids.to(logits.device), hidden.to(logits.device)
            found = drawn_from(logits, random.uniform(n), temperature)
            filled = torch.where(hidden, found, ids)
            chance = random.uniform(n).to(logits.device).clamp(1e-20, 1 - 2**-24)
            left = min(left - 1, math.floor(n * math.cos(math.pi / 2 * step / num_steps))) if step < num_steps else 0
            if left == 0:
                yield filled
                return
            noise = -torch.log(-torch.log(chance))
            confidence = logits.float().log_softmax(-1).gather(-1, found[..., None]).squeeze(-1)  # (N, n)
            score = confidence + self.choice_temperature * (1 - step / num_steps) * noise
            score = score.masked_fill(~hidden, torch.inf)  # what is filled stays
            hidden = score.argsort(1).argsort(1) < left
            ids = filled.masked_fill(hidden, MASK)
            yield filled
