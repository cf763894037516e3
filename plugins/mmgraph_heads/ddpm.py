"""Denoising diffusion on continuous tokens, stepped by diffusers' schedulers.

Noise is added in T small steps (Ho et al. 2020); the network sees any of them and predicts the noise, the data,
or a mix of both (Salimans and Ho 2022).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgraph.errors import UsageError
from mmgraph.heads import Head, Prepared, Run
from mmgraph.randomness import SampleRandom
from mmgraph.tokenizers import Tokenizer
from mmgraph.vocabulary import Vocabulary
from mmgraph_heads.schedulers import DiffusionPath, Plain, Stepper, alphas


class DDPMHead(Head):
    r"""Discrete-time diffusion, trained on one random level k of T for each span.

    \[ x_k = \sqrt{\bar\alpha_k}\, x + \sqrt{1 - \bar\alpha_k}\, \epsilon, \qquad
       v_k = \sqrt{\bar\alpha_k}\, \epsilon - \sqrt{1 - \bar\alpha_k}\, x, \qquad
       L = w_k \lVert \hat y - y \rVert^2, \quad y \in \{\epsilon, v_k, x\} \]

    The body reads the time \(t = 1 - (k + 1) / T\), so 0 is noise and 1 is data. With the signal-to-noise ratio
    \(r_k = \bar\alpha_k / (1 - \bar\alpha_k)\) the errors of the three are \(r_k\), \(r_k + 1\) and 1 times that of the
    data; with `min_snr_gamma` all three are weighted to \(\min(r_k, \gamma)\) times it, else w is 1.

    Shapes:
        tokens `(N, n, d)`; hidden `(N, n, D)`; prediction `(N, n, d)`.

    Args:
        prediction: What the network gives: `epsilon`, `velocity` or `data`.
        schedule: How fast noise grows: `linear`, `scaled_linear` or `cosine`.
        num_levels: Number of noise levels T.
        min_snr_gamma: The \(\gamma\) above; None: unweighted.
        sampler: Any scheduler of diffusers for discrete-time diffusion.
        sampler_options: Its options, and those of its `step`, as plain values.

    Raises:
        UsageError: If the tokenizer is discrete, or if the sampler does not fit.

    Reference:
        Ho et al., Denoising Diffusion Probabilistic Models, 2020 (arXiv 2006.11239).
        Nichol and Dhariwal, Improved Denoising Diffusion Probabilistic Models, 2021 (arXiv 2102.09672; cosine).
        Salimans and Ho, Progressive Distillation, 2022 (arXiv 2202.00512; velocity).
        Hang et al., Efficient Diffusion Training via Min-SNR Weighting Strategy, 2023 (arXiv 2303.09556).
        Song et al., Denoising Diffusion Implicit Models, 2020 (arXiv 2010.02502; the usual sampler).
        Lu et al., DPM-Solver++, 2022 (arXiv 2211.01095; a faster one).
    """

    discrete = False
    order = "full"
    timed = True
    shift = 0

    def __init__(
        self,
        prediction: Literal["epsilon", "velocity", "data"] = "data",
        *,
        schedule: Literal["linear", "scaled_linear", "cosine"] = "linear",
        num_levels: int = 1000,
        min_snr_gamma: float | None = None,
        sampler: str = "DDIMScheduler",
        sampler_options: dict[str, Plain] | None = None,
    ) -> None:
        super().__init__()
        self.min_snr_gamma = min_snr_gamma
        self.schedule = schedule
        self.path = DiffusionPath(prediction, alphas(schedule, num_levels))
        self.stepper = Stepper(sampler, sampler_options, path=self.path, schedule=schedule)

    def with_sampler(self, sampler: str, options: Mapping[str, Plain] | None = None) -> DDPMHead:
        """Return this head, with the same weights, drawing by another sampler."""
        other = copy.copy(self)
        other.stepper = Stepper(sampler, options, path=self.path, schedule=self.schedule)
        return other

    def build(self, tokenizer: Tokenizer, vocabulary: Vocabulary, dim: int, condition_dim: int) -> None:
        """Create the output layer: adaLN from the time, then a linear map to the token's width."""
        if tokenizer.discrete:
            raise UsageError(
                f"the ddpm head models vectors, but {type(tokenizer).__name__} gives codes; "
                "use a continuous tokenizer, or a head for codes such as masked."
            )
        self.norm = nn.RMSNorm(dim, elementwise_affine=False)
        self.modulation = nn.Linear(condition_dim, 2 * dim)
        self.output = nn.Linear(dim, tokenizer.token_dim)
        for layer in (self.modulation, self.output):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def prepare(
        self, tokens: Tensor, *, random: SampleRandom, time: Tensor | None = None, noise: Tensor | None = None
    ) -> Prepared:
        """Noise the tokens to one level per span; a time that is given is rounded to the nearest level."""
        if time is None:
            count = len(self.path.alphas)
            time = self.path.time((random.uniform() * count).long().clamp_max(count - 1)).to(tokens)
        if noise is None:
            noise = random.normal(*tokens.shape[1:]).to(tokens)
        share = self._shares(time)
        inputs = share.sqrt() * tokens + (1 - share).sqrt() * noise  # (N, n, d)
        scored = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return Prepared(inputs, tokens, scored, time, noise=noise)

    def predict(self, hidden: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return epsilon, velocity or data `(N, n, d)`, whichever `prediction` says."""
        assert condition is not None, "the ddpm head reads the time"
        shift, scale = self.modulation(F.silu(condition)).chunk(2, dim=-1)  # (N, D)
        return self.output(self.norm(hidden) * (1 + scale[:, None]) + shift[:, None])

    def loss(
        self, hidden: Tensor, prepared: Prepared, condition: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the summed weighted squared error, averaged over d, and the number of tokens."""
        return self.score(self.predict(hidden, condition), prepared)

    def score(self, given: Tensor, prepared: Prepared) -> tuple[Tensor, Tensor]:
        """Return the summed loss of predictions `(N, n, d)`, and the number of tokens."""
        assert prepared.time is not None
        assert prepared.noise is not None
        share = self._shares(prepared.time)
        wanted = {
            "epsilon": prepared.noise,
            "velocity": share.sqrt() * prepared.noise - (1 - share).sqrt() * prepared.targets,
            "data": prepared.targets,
        }[self.path.prediction]
        error = (given.float() - wanted).square().mean(-1) * self._weight(share[..., 0])
        return (error * prepared.score_mask).sum(), prepared.score_mask.sum()

    def sample(
        self,
        run: Run,
        shape: tuple[int, ...],
        *,
        num_steps: int,
        random: SampleRandom,
        temperature: float = 1.0,
    ) -> Iterator[Tensor]:
        """Yield the estimate of the data `(N, n, d)` after each step of the scheduler."""
        yield from self.stepper.steps(run, random.normal(*shape[1:]), num_steps=num_steps, random=random)

    def _shares(self, time: Tensor) -> Tensor:
        """Return the data's share of the variance `(N, 1, 1)`."""
        return self.path.alphas.to(time.device)[self.path.level(time)][:, None, None]

    def _weight(self, share: Tensor) -> Tensor:
        if self.min_snr_gamma is None:
            return torch.ones_like(share)
        ratio = share / (1 - share)
        per_unit = {"epsilon": ratio, "velocity": ratio + 1, "data": torch.ones_like(ratio)}[self.path.prediction]
        return ratio.clamp_max(self.min_snr_gamma) / per_unit
