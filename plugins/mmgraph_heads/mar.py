"""Masked autoregression on vectors: the body says what is known of a token, a small denoiser draws it (MAR)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from mmgraph.errors import UsageError
from mmgraph.heads import Head, Prepared, Run
from mmgraph.randomness import SampleRandom
from mmgraph.tokenizers import Tokenizer
from mmgraph.vocabulary import Vocabulary
from mmgraph_heads.flow import FlowHead
from mmgraph_heads.schedulers import Plain
from mmgraph_heads.token_denoiser import TokenDenoiser


class MARHead(Head):
    r"""Hidden tokens from those that are shown, each through a rectified flow of its own.

    \[ L = \sum_{i \in M} \frac{\lVert g_\theta(x_{i,t}, t, z_i) - x_i \rVert^2}{\max(1 - t, c)^2}, \qquad
       x_{i,t} = (1 - t)\,\epsilon + t\,x_i, \qquad z = f_\theta(x_{\setminus M}) \]

    f is the body, run once; g is a small network on single tokens, so its noise level t is the token's own. The share
    hidden in training is \(1 - |\xi|\), \(\xi \sim N(0, 0.25^2)\), cut at `least_hidden`. Drawing shows the tokens in
    a random order, after step k of K all but \(\lfloor n \cos(\tfrac{\pi}{2}\tfrac{k}{K}) \rfloor\). Guidance mixes
    what g gives for z with and without the condition, and never z itself.

    Shapes:
        tokens `(N, n, d)`; hidden `(N, n, D)`; prediction `(N, n, D)`, or with guidance `(N, n, 2 D + 1)`: z with and
        without the condition, and the scale.

    Args:
        width: Width of g.
        depth: Number of its residual blocks.
        repeats: Noise levels at which each hidden token is scored, as g is cheap beside the body.
        least_hidden: Smallest share hidden in training.
        denoising_steps: Steps of g for each token drawn.
        time_mean: As in `flow`.
        time_std: As in `flow`.
        clip: The c above.
        sampler: As in `flow`.
        sampler_options: As in `flow`.

    Raises:
        UsageError: If the tokenizer is discrete, or if the sampler does not fit.

    Reference:
        Li et al., Autoregressive Image Generation without Vector Quantization, 2024 (arXiv 2406.11838).
    """

    discrete = False
    order = "full"
    timed = False
    shift = 0
    embeds = True

    def __init__(
        self,
        width: int = 256,
        depth: int = 3,
        *,
        repeats: int = 4,
        least_hidden: float = 0.7,
        denoising_steps: int = 25,
        time_mean: float = 0.0,
        time_std: float = 1.0,
        clip: float = 0.1,
        sampler: str = "euler",
        sampler_options: dict[str, Plain] | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= least_hidden < 1:
            raise UsageError(f"least_hidden must be 0 or more and below 1, not {least_hidden:g}.")
        self.width = width
        self.depth = depth
        self.repeats = repeats
        self.least_hidden = least_hidden
        self.denoising_steps = denoising_steps
        prediction: Literal["data"] = "data"
        self.flow = FlowHead(
            prediction,
            time_mean=time_mean,
            time_std=time_std,
            clip=clip,
            sampler=sampler,
            sampler_options=sampler_options,
        )

    def build(self, tokenizer: Tokenizer, vocabulary: Vocabulary, dim: int, condition_dim: int) -> None:
        """Create the denoiser, and what the body reads in place of a hidden token."""
        if tokenizer.discrete:
            raise UsageError(
                f"the mar head models vectors, but {type(tokenizer).__name__} gives codes; "
                "use a continuous tokenizer, or a head for codes such as masked."
            )
        self.dim = dim
        self.mask = nn.Parameter(0.02 * torch.randn(dim))
        self.denoiser = TokenDenoiser(tokenizer.token_dim, dim, width=self.width, depth=self.depth)

    def embed(self, inputs: Tensor, usual: Callable[[Tensor], Tensor], offset: int = 0) -> Tensor:
        """Return `(N, m, D)`: tokens as usual, the mask where the last channel of `(N, m, d + 1)` says hidden."""
        return torch.where(inputs[..., -1:] > 0.5, self.mask, usual(inputs[..., :-1]))

    def prepare(
        self, tokens: Tensor, *, random: SampleRandom, time: Tensor | None = None, noise: Tensor | None = None
    ) -> Prepared:
        """Hide a random set of the tokens, and draw the noise levels at which they will be scored."""
        n, d = tokens.shape[1:]
        widest = torch.special.ndtr(torch.tensor((1 - self.least_hidden) / 0.25))  # the normal, cut
        share = 1 - 0.25 * torch.special.ndtri(0.5 + random.uniform() * (widest - 0.5))
        count = (share * n).ceil().clamp(1, n)  # (N,)
        hidden = (random.uniform(n).argsort(1).argsort(1) < count[:, None]).to(tokens.device)  # (N, n)
        normal = random.normal(n, self.repeats).double()  # or its last bit would depend on the size of the batch
        levels = torch.sigmoid(self.flow.time_mean + self.flow.time_std * normal).to(tokens)
        if noise is None:
            noise = random.normal(n, self.repeats, d).to(tokens)
        return Prepared(_hide(tokens, hidden), tokens, hidden, noise=noise, levels=levels)

    def predict(self, hidden: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the conditions z of the denoiser."""
        return hidden

    def guide(self, given: Tensor, null: Tensor, scale: float | Tensor) -> Tensor:
        """Return both conditions and the scale beside each other: the denoiser's outputs are what is mixed."""
        return torch.cat((given, null, torch.zeros_like(given[..., :1]) + scale), dim=-1)

    def with_sampler(self, sampler: str, options: Mapping[str, Plain] | None = None) -> MARHead:
        """Return this head, with the same weights, drawing each token by another sampler."""
        other = copy.copy(self)
        other._modules = {**self._modules, "flow": self.flow.with_sampler(sampler, options)}
        return other

    def loss(
        self, hidden: Tensor, prepared: Prepared, condition: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the summed squared error of the velocity, averaged over d and the repeats, and the number hidden."""
        assert prepared.levels is not None
        assert prepared.noise is not None
        scored = prepared.score_mask
        wanted = prepared.targets[scored][:, None]  # (P, 1, d)
        levels, noise = prepared.levels[scored], prepared.noise[scored]  # (P, R), (P, R, d)
        t = levels[..., None]
        given = self.denoiser((1 - t) * noise + t * wanted, levels, self.predict(hidden[scored])[:, None]).float()
        error = (given - wanted).square().mean(-1) * (1 - levels).clamp_min(self.flow.clip) ** -2
        return error.mean(1).sum(), scored.sum()

    def sample(
        self,
        run: Run,
        shape: tuple[int, ...],
        *,
        num_steps: int,
        random: SampleRandom,
        temperature: float = 1.0,
    ) -> Iterator[Tensor]:
        """Yield the tokens `(N, n, d)` after each step, zero where none is drawn yet; a step draws one at least."""
        n = shape[1]
        order = random.uniform(n).argsort(1)  # (N, n)
        tokens, hidden = torch.zeros(shape), torch.ones(shape[:2], dtype=torch.bool)
        left = n
        for step in range(1, num_steps + 1):
            conditions = run(_hide(tokens, hidden), None)
            tokens, hidden, order = (part.to(conditions.device) for part in (tokens, hidden, order))
            known, left = left, max(0, min(left - 1, math.floor(n * math.cos(math.pi / 2 * step / num_steps))))
            left = left if step < num_steps else 0
            chosen = order[:, n - known : n - left]  # (N, m)
            rows = torch.arange(len(order), device=order.device)[:, None]
            *_, found = self.flow.sample(
                self._denoise(conditions[rows, chosen]),
                (shape[0], known - left, shape[2]),
                num_steps=self.denoising_steps,
                random=random,
            )
            tokens, hidden = tokens.to(found), hidden.clone()
            tokens[rows, chosen] = found
            hidden[rows, chosen] = False
            yield tokens.clone()
            if left == 0:
                return

    def _denoise(self, conditions: Tensor) -> Run:
        """Return the denoiser as a run of the flow, with guidance where two conditions are given."""

        def run(state: Tensor, time: Tensor | None) -> Tensor:
            assert time is not None
            state = state.to(conditions)
            time = time.to(conditions)[:, None].expand(state.shape[:2])
            given = self.denoiser(state, time, conditions[..., : self.dim])
            if conditions.shape[-1] == self.dim:
                return given
            null = self.denoiser(state, time, conditions[..., self.dim : 2 * self.dim])
            return null + conditions[..., -1:] * (given - null)

        return run


def _hide(tokens: Tensor, hidden: Tensor) -> Tensor:
    """Return `(N, n, d + 1)`: tokens, zero where hidden, and whether they are."""
    kept = tokens.masked_fill(hidden[..., None], 0)
    return torch.cat((kept, hidden[..., None].to(kept)), dim=-1)
