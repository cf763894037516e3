"""A picture drawn by a network of its own, told what to draw by the body: joined models and plain text-to-image."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from mmgraph.denoisers import Denoiser
from mmgraph.errors import UsageError
from mmgraph.heads import Head, Prepared, Run
from mmgraph.randomness import SampleRandom
from mmgraph.tokenizers import Tokenizer
from mmgraph.vocabulary import Vocabulary
from mmgraph_heads.aligner import Aligner
from mmgraph_heads.ddpm import DDPMHead
from mmgraph_heads.flow import FlowHead
from mmgraph_heads.schedulers import Plain


class DenoisingHead(Head):
    r"""A denoiser g beside the body f, and a connector a between them; the objective is that of another head.

    \[ L = \ell(g_\theta(x_t, t, a(h)),\, x), \qquad h = f(\text{prompt}) \]

    The body reads the prompt once; what is noised, x, never enters it. What is read of it decides what the model is:

    - `reads: prompt`: the hidden states of all that stands before the picture (OmniGen2). With a shallow body this is a
      plain text-to-image model, and the body its text encoder.
    - the same with `connector_tokens`: a fixed number of vectors, in the space that a frozen denoiser reads (Kosmos-G).
    - `reads: queries`: the hidden states at learned queries (MetaQuery), which the processor `queries` puts there.
    - the same where that processor names a tokenizer in `regressed`: the queries are to become its tokens z of the
      picture, and these are all that the denoiser is told (SEED-X):
      \( L = \ell(g_\theta(x_t, t, a(z)), x) + \lambda \lVert r(h) - z \rVert^2 \), and r(h) in place of z to draw.

    The time is that of the objective; the tokens are laid on their tokenizer's grid.

    Shapes:
        tokens `(N, n, d)`; hidden `(N, m, D + 1)`; told `(N, k, W + 1)`, the last number 1, or 0 for padding;
        prediction `(N, n, d)`.

    Args:
        denoiser: The network.
        objective: `flow` or `ddpm`, with its options: how tokens are noised, weighed and drawn.
        reads: Which hidden states.
        layer: After how many of the body's blocks they are taken; None: after all. The last states of a language model
            tell the next word and little of the one that stands there, so a frozen one is better read earlier.
        width: Width W of what the denoiser is told; None: the body's.
        connector_depth: Transformer layers of the connector; 0: a linear map.
        connector_tokens: Number of learned vectors that the connector keeps; None: as many as it reads.
        connector_heads: Attention heads of its layers.
        regression_weight: The \(\lambda\) above.
        taught: What the denoiser is told in training where queries are regressed: the tokens themselves, `true`, or
            what the queries have become of them so far, `regressed`.

    Raises:
        UsageError: If the objective is no diffusion or flow, the tokens are codes, or the parts do not fit.

    Reference:
        Pan et al., Transfer between Modalities with MetaQueries, 2025 (arXiv 2504.06256).
        Ge et al., SEED-X, 2024 (arXiv 2404.14396).
        Pan et al., Kosmos-G, 2023 (arXiv 2310.02992).
        Wu et al., OmniGen2, 2025 (arXiv 2506.18871).
        Rombach et al., High-Resolution Image Synthesis with Latent Diffusion Models, 2022 (arXiv 2112.10752).
    """

    discrete = False
    order = "full"
    timed = True
    shift = 0
    apart = True

    def __init__(
        self,
        denoiser: Denoiser,
        objective: Head,
        *,
        reads: Literal["prompt", "queries"] = "prompt",
        layer: int | None = None,
        width: int | None = None,
        connector_depth: int = 0,
        connector_tokens: int | None = None,
        connector_heads: int = 4,
        regression_weight: float = 1.0,
        taught: Literal["true", "regressed"] = "true",
    ) -> None:
        super().__init__()
        if not isinstance(objective, (FlowHead, DDPMHead)):
            raise UsageError(
                f"the denoising head has the objective {type(objective).__name__}; use mmgraph.heads.flow or "
                "mmgraph.heads.ddpm."
            )
        self.denoiser = denoiser
        self.objective = objective
        self.reads = reads
        self.layer = layer
        self.width = width
        self.connector_depth = connector_depth
        self.connector_tokens = connector_tokens
        self.connector_heads = connector_heads
        self.regression_weight = regression_weight
        self.taught = taught
        self.regressed_dim: int | None = None

    def with_sampler(self, sampler: str, options: Mapping[str, Plain] | None = None) -> DenoisingHead:
        """Return this head, with the same weights, drawing by another sampler."""
        other = copy.copy(self)
        other._modules = {**self._modules, "objective": self.objective.with_sampler(sampler, options)}
        return other

    def build_beside(self, tokenizer: Tokenizer) -> None:
        """Take the size of the tokens that the queries are to become."""
        if self.reads != "queries":
            raise UsageError(
                f"the denoising head is to regress tokens of {type(tokenizer).__name__}, but it reads the "
                f"{self.reads}; set reads: queries, or leave `regressed` out of the processor."
            )
        self.regressed_dim = tokenizer.token_dim

    def build(self, tokenizer: Tokenizer, vocabulary: Vocabulary, dim: int, condition_dim: int) -> None:
        """Create the connector, and the denoiser for the tokenizer's grid."""
        if tokenizer.discrete:
            raise UsageError(
                f"the denoising head models vectors, but {type(tokenizer).__name__} gives codes; "
                "use a continuous tokenizer, or a head for codes such as masked."
            )
        width = self.width or dim
        told_dim = dim
        if self.regressed_dim is not None:
            self.regressor = nn.Linear(dim, self.regressed_dim)
            told_dim = self.regressed_dim
        self.connector = Aligner(
            told_dim,
            width,
            depth=self.connector_depth,
            num_tokens=self.connector_tokens,
            num_heads=self.connector_heads,
        )
        self.grid = tokenizer.grid
        self.denoiser.build(tokenizer.token_dim, self.grid, width)

    def prepare(
        self, tokens: Tensor, *, random: SampleRandom, time: Tensor | None = None, noise: Tensor | None = None
    ) -> Prepared:
        """Noise the tokens as the objective does."""
        return self.objective.prepare(tokens, random=random, time=time, noise=noise)

    def predict(self, hidden: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return what the denoiser is told, `(N, k, W + 1)`."""
        states, there = hidden[..., :-1], hidden[..., -1] > 0.5
        return self._told(states if self.regressed_dim is None else self.regressor(states), there)

    def denoise(self, inputs: Tensor, time: Tensor | None, told: Tensor) -> Tensor:
        """Return the objective's prediction `(N, n, d)`."""
        assert time is not None
        inputs = inputs.to(told)
        x = inputs.transpose(1, 2).unflatten(2, self.grid)  # (N, d, h, w)
        found = self.denoiser(x, time.to(told), told[..., :-1], told[..., -1] > 0.5)
        return found.flatten(2).transpose(1, 2)

    def loss(
        self, hidden: Tensor, prepared: Prepared, condition: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the objective's summed loss and the number of tokens; the regression's mean counts for each token."""
        if self.regressed_dim is None:
            return self._score(prepared, self.predict(hidden))
        assert prepared.beside is not None, "the model gives the tokens that are to be regressed"
        states, there = hidden[..., :-1], hidden[..., -1] > 0.5
        found, wanted = self.regressor(states), prepared.beside.to(states)
        total, count = self._score(prepared, self._told(wanted if self.taught == "true" else found, there))
        error = (found - wanted).float().square().mean((1, 2))  # (N,)
        return total + self.regression_weight * (error * prepared.score_mask.sum(1)).sum(), count

    def sample(
        self,
        run: Run,
        shape: tuple[int, ...],
        *,
        num_steps: int,
        random: SampleRandom,
        temperature: float = 1.0,
    ) -> Iterator[Tensor]:
        """Yield the estimate of the data `(N, n, d)` after each step, as the objective does."""
        yield from self.objective.sample(run, shape, num_steps=num_steps, random=random, temperature=temperature)

    def _told(self, vectors: Tensor, there: Tensor) -> Tensor:
        found, mask = self.connector(vectors, there)
        return torch.cat((found * mask[..., None], mask[..., None].to(found)), dim=-1)

    def _score(self, prepared: Prepared, told: Tensor) -> tuple[Tensor, Tensor]:
        return self.objective.score(self.denoise(prepared.inputs, prepared.time, told), prepared)
