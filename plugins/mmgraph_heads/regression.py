"""Regression of the next embedding: pictures as sentences of vectors, without noise and without codes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgraph.errors import UsageError
from mmgraph.heads import Head, Prepared, Run
from mmgraph.randomness import SampleRandom
from mmgraph.tokenizers import Tokenizer
from mmgraph.vocabulary import Vocabulary


class RegressionHead(Head):
    r"""The next vector itself, given all before it.

    \[ L = \sum_i \tfrac{1}{d} \lVert \hat x_i - x_i \rVert^2
       \quad\text{or}\quad \sum_i 1 - \cos(\hat x_i, x_i), \qquad \hat x_i = f_\theta(x_{<i}) \]

    The squared error is least at the mean \(E[x_i \mid x_{<i}]\): where several vectors are possible it draws their
    average, and two drawings of one prompt are equal. With `cosine` the length is not learned; the prediction gets that
    of a standardised vector, \(\sqrt d\).

    Shapes:
        tokens `(N, n, d)`; hidden `(N, n, D)`; prediction `(..., d)`.

    Args:
        distance: `squared` or `cosine`.

    Raises:
        UsageError: If the tokenizer is discrete.

    Reference:
        Sun et al., Generative Multimodal Models are In-Context Learners (Emu2), 2023 (arXiv 2312.13286).
        Zhu et al., VL-GPT: A Generative Pre-trained Transformer for Vision and Language, 2023 (arXiv 2312.09251).
    """

    discrete = False
    order = "causal"
    timed = False
    shift = 1

    def __init__(self, distance: Literal["squared", "cosine"] = "squared") -> None:
        super().__init__()
        self.distance = distance

    def build(self, tokenizer: Tokenizer, vocabulary: Vocabulary, dim: int, condition_dim: int) -> None:
        """Create the map to the token's width."""
        if tokenizer.discrete:
            raise UsageError(
                f"the regression head models vectors, but {type(tokenizer).__name__} gives codes; "
                "use a continuous tokenizer, or a head for codes such as next_token."
            )
        self.output = nn.Linear(dim, tokenizer.token_dim)

    def prepare(
        self, tokens: Tensor, *, random: SampleRandom, time: Tensor | None = None, noise: Tensor | None = None
    ) -> Prepared:
        """Return the tokens as inputs and as targets; the model reads hidden states one position earlier."""
        scored = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return Prepared(tokens, tokens, scored)

    def predict(self, hidden: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the next vector `(..., d)`."""
        found = self.output(hidden)
        return found if self.distance == "squared" else F.normalize(found, dim=-1) * found.shape[-1] ** 0.5

    def loss(
        self, hidden: Tensor, prepared: Prepared, condition: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the summed error (the squared one averaged over d) and the number of scored tokens."""
        scored = prepared.score_mask
        given, wanted = self.predict(hidden[scored]).float(), prepared.targets[scored].float()
        if self.distance == "squared":
            return (given - wanted).square().mean(-1).sum(), scored.sum()
        return (1 - F.cosine_similarity(given, wanted, dim=-1)).sum(), scored.sum()

    def sample(
        self,
        run: Run,
        shape: tuple[int, ...],
        *,
        num_steps: int,
        random: SampleRandom,
        temperature: float = 1.0,
    ) -> Iterator[Tensor]:
        """Yield the vectors so far, `(N, 1, d)` to `(N, num_steps, d)`; nothing is drawn by chance.

        `run` gets the last vector, `(N, 1, d)` (an empty tensor at first), and returns the next, `(N, d)`.
        """
        found = torch.zeros(shape[0], 0, shape[1])
        for _ in range(num_steps):
            following = run(found[:, -1:], None)
            found = torch.cat((found.to(following), following[:, None]), dim=1)
            yield found
