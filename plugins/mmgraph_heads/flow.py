"""Flow matching on continuous tokens, with the network predicting the data itself.

Rectified flow (Liu et al. 2022, arXiv 2209.03003; Lipman et al. 2022, arXiv 2210.02747): straight paths from
noise (t = 0) to data (t = 1). Predicting the data and weighting the loss in velocity space is what makes
a small shared transformer learn at all; predicting the velocity does not, at this size.
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
from mmgraph_heads.schedulers import Network, Plain, Stepper, StraightPath


class FlowHead(Head):
    r"""Rectified flow: \( x_t = (1 - t)\,\epsilon + t\,x \), trained on the velocity \( v = x - \epsilon \).

    With `prediction="data"` the network gives \(\hat x\) and the loss is the velocity's, since
    \( \hat v = (\hat x - x_t) / (1 - t) \):

    \[ L = \frac{\lVert \hat x - x \rVert^2}{\max(1 - t, c)^2} \]

    Shapes:
        tokens `(N, n, d)`; hidden `(N, n, D)`; prediction `(N, n, d)`.

    Args:
        prediction: What the network gives, `data` or `velocity`.
        time_mean: Mean of the logit-normal distribution of training times; negative prefers noise.
        time_std: Its standard deviation.
        clip: The c above, which bounds the weight near the data.
        sampler: `euler`, or any scheduler of diffusers for straight paths.
        sampler_options: Options of that scheduler as plain values.

    Raises:
        UsageError: If the tokenizer is discrete, or if the sampler does not fit.

    Reference:
        Liu et al., Flow Straight and Fast (rectified flow), 2022 (arXiv 2209.03003).
        Lipman et al., Flow Matching for Generative Modeling, 2022 (arXiv 2210.02747).
        Esser et al., Scaling Rectified Flow Transformers, 2024 (arXiv 2403.03206; logit-normal times).
    """

    discrete = False
    order = "full"
    timed = True
    shift = 0

    def __init__(
        self,
        prediction: Literal["data", "velocity"] = "data",
        *,
        time_mean: float = 0.0,
        time_std: float = 1.0,
        clip: float = 0.1,
        sampler: str = "euler",
        sampler_options: dict[str, Plain] | None = None,
    ) -> None:
        super().__init__()
        self.prediction = prediction
        self.time_mean = time_mean
        self.time_std = time_std
        self.clip = clip
        self.stepper = _stepper(sampler, sampler_options)

    def with_sampler(self, sampler: str, options: Mapping[str, Plain] | None = None) -> FlowHead:
        """Return this head, with the same weights, drawing by another sampler."""
        other = copy.copy(self)
        other.stepper = _stepper(sampler, options)
        return other

    def build(self, tokenizer: Tokenizer, vocabulary: Vocabulary, dim: int, condition_dim: int) -> None:
        """Create the output layer: adaLN from the time, then a linear map to the token's width."""
        if tokenizer.discrete:
            raise UsageError(
                f"the flow head models vectors, but {type(tokenizer).__name__} gives codes; "
                "use a continuous tokenizer, or a head for codes such as next_token."
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
        """Mix the tokens with noise at one time per span."""
        if time is None:
            time = torch.sigmoid(self.time_mean + self.time_std * random.normal()).to(tokens)
        if noise is None:
            noise = random.normal(*tokens.shape[1:]).to(tokens)
        t = time[:, None, None]
        inputs = (1 - t) * noise + t * tokens  # (N, n, d)
        scored = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return Prepared(inputs, tokens, scored, time, noise=noise)

    def predict(self, hidden: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the data or the velocity `(N, n, d)`, whichever `prediction` says."""
        assert condition is not None, "the flow head reads the time"
        shift, scale = self.modulation(F.silu(condition)).chunk(2, dim=-1)  # (N, D)
        return self.output(self.norm(hidden) * (1 + scale[:, None]) + shift[:, None])

    def loss(
        self, hidden: Tensor, prepared: Prepared, condition: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the summed squared error of the velocity, averaged over d, and the number of tokens."""
        return self.score(self.predict(hidden, condition), prepared)

    def score(self, given: Tensor, prepared: Prepared) -> tuple[Tensor, Tensor]:
        """Return the summed loss of predictions `(N, n, d)`, and the number of tokens."""
        assert prepared.time is not None
        assert prepared.noise is not None
        given = given.float()
        if self.prediction == "data":
            weight = (1 - prepared.time).clamp_min(self.clip) ** -2
            error = (given - prepared.targets).square().mean(-1) * weight[:, None]
        else:
            error = (given - (prepared.targets - prepared.noise)).square().mean(-1)
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
        """Yield the estimate of the data `(N, n, d)` after each step from noise to data."""
        state = random.normal(*shape[1:])
        if self.stepper is not None:
            network = run if self.prediction == "velocity" else _as_velocity(run)
            yield from self.stepper.steps(network, state, num_steps=num_steps, random=random)
            return
        for step in range(num_steps):
            now, then = step / num_steps, (step + 1) / num_steps
            time = torch.full((shape[0],), now)
            given = run(state, time)
            state = state.to(given)
            velocity = (given - state) / max(1 - now, 1e-6) if self.prediction == "data" else given
            estimate = state + (1 - now) * velocity
            state = state + (then - now) * velocity
            yield estimate if then < 1 else state


def _stepper(sampler: str, options: Mapping[str, Plain] | None) -> Stepper | None:
    """Return what steps by a scheduler of diffusers; None for Euler's steps, which are the head's own."""
    if sampler != "euler":
        return Stepper(sampler, options, path=StraightPath())
    if options:
        raise UsageError(f"the sampler euler has no option '{next(iter(options))}'; name one of diffusers.")
    return None


def _as_velocity(run: Run) -> Network:
    def velocity(state: Tensor, time: Tensor) -> Tensor:
        data = run(state, time)
        return StraightPath().express(data, state.to(data), time.to(data.device))

    return velocity
