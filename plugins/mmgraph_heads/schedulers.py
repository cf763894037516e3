"""diffusers' schedulers as samplers: the one place where its noise levels meet ours.

Here time runs from 0, noise, to 1, data. diffusers counts noise: sigma = 1 - t on straight paths, and an integer
k of T noising steps in diffusion, t = 1 - (k + 1) / T, so that t = 1 is data without noise.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from mmgraph.errors import UsageError, nearest
from mmgraph.randomness import SampleRandom

Plain = bool | int | float | str
Network = Callable[[Tensor, Tensor], Tensor]
"""Noised tokens `(N, n, d)` and time `(N,)` to a prediction `(N, n, d)`."""
BETAS = {"linear": "linear", "scaled_linear": "scaled_linear", "cosine": "squaredcos_cap_v2"}
"""Our names of the noise schedules to diffusers'."""


def alphas(schedule: str, num_levels: int) -> Tensor:
    r"""Return \(\bar\alpha\) `(T,)` of a diffusers noise schedule: the share of the data's variance at each k."""
    from diffusers import DDPMScheduler

    scheduler: Any = DDPMScheduler(num_train_timesteps=num_levels, beta_schedule=BETAS[schedule])
    return scheduler.alphas_cumprod


class Path(Protocol):
    """How noise and data are mixed, and what the network says about it."""

    def express(self, data: Tensor, state: Tensor, time: Tensor) -> Tensor:
        """Return what a network that knows the data predicts for the noised state `(N, n, d)` at time `(N,)`."""

    def estimate(self, given: Tensor, state: Tensor, time: Tensor) -> Tensor:
        """Return the data that a prediction stands for."""


class StraightPath:
    """x_t = (1 - t) noise + t data, with the velocity data - noise predicted."""

    def express(self, data: Tensor, state: Tensor, time: Tensor) -> Tensor:
        """Return the velocity."""
        return (data - state) / (1 - time).clamp_min(1e-6)[:, None, None]

    def estimate(self, given: Tensor, state: Tensor, time: Tensor) -> Tensor:
        """Return the data."""
        return state + (1 - time)[:, None, None] * given


class DiffusionPath:
    r"""The path of discrete diffusion: \(x_k = \sqrt{\bar\alpha_k}\, x + \sqrt{1 - \bar\alpha_k}\, \epsilon\).

    Args:
        prediction: What the network gives.
        alphas: \(\bar\alpha_k\) `(T,)`.
    """

    def __init__(self, prediction: Literal["epsilon", "velocity", "data"], alphas: Tensor) -> None:
        self.prediction = prediction
        self.alphas = alphas

    def level(self, time: Tensor) -> Tensor:
        """Return the nearest integer k `(N,)` of times."""
        return ((1 - time) * len(self.alphas)).round().long().sub(1).clamp(0, len(self.alphas) - 1)

    def time(self, level: Tensor) -> Tensor:
        """Return the time of levels k, whole or between."""
        return 1 - (level + 1).to(torch.get_default_dtype()) / len(self.alphas)

    def scales(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scales of data and noise `(N, 1, 1)`; between two k, log sigma is interpolated."""
        logits = torch.logit(self.alphas.double().to(time.device))  # -2 log sigma
        place = ((1 - time.double()) * len(logits) - 1).clamp(0, len(logits) - 1)
        # a time that stands for a whole k must not be moved by its rounding
        place = torch.where((place - place.round()).abs() < 1e-3, place.round(), place)
        low = place.floor().long()
        high = (low + 1).clamp_max(len(logits) - 1)
        between = torch.lerp(logits[low], logits[high], place - low)[:, None, None]
        return between.sigmoid().sqrt().to(time), (-between).sigmoid().sqrt().to(time)

    def express(self, data: Tensor, state: Tensor, time: Tensor) -> Tensor:
        """Return epsilon, velocity or data."""
        if self.prediction == "data":
            return data
        signal, noise = self.scales(time)
        epsilon = (state - signal * data) / noise
        return epsilon if self.prediction == "epsilon" else signal * epsilon - noise * data

    def estimate(self, given: Tensor, state: Tensor, time: Tensor) -> Tensor:
        """Return the data."""
        if self.prediction == "data":
            return given
        signal, noise = self.scales(time)
        if self.prediction == "epsilon":
            return (state - noise * given) / signal
        return signal * state - noise * given


class Stepper:
    """A diffusers scheduler that leads from noise to data; made anew for each drawing, as it remembers its steps.

    Args:
        name: Name of the class in diffusers.
        options: Its options (and those of its `step`, such as DDIM's `eta`) as plain values.
        path: How noise and data are mixed.
        schedule: The noise schedule, for the path of discrete diffusion.

    Raises:
        UsageError: If there is no such scheduler, if it has no such option, or if it does not arrive at the data
            even with a network that knows them.
    """

    def __init__(
        self, name: str, options: Mapping[str, Plain] | None, *, path: Path, schedule: str | None = None
    ) -> None:
        self.name = name
        self.path = path
        self.kind = _scheduler(name)
        known = set(inspect.signature(self.kind).parameters)
        fixed: dict[str, Any] = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
        usual: dict[str, Any] = {"lower_order_final": True}  # a fast solver's last step is a plain one, to the data
        if isinstance(path, DiffusionPath):
            wording = {"epsilon": "epsilon", "velocity": "v_prediction", "data": "sample"}
            fixed = {
                "num_train_timesteps": len(path.alphas),
                "beta_schedule": BETAS[schedule or "linear"],
                "prediction_type": wording[path.prediction],
            }
            # from pure noise on, and nothing clipped: tokens are no pixels in [-1, 1]
            usual |= {"beta_start": 0.0001, "beta_end": 0.02, "timestep_spacing": "trailing", "clip_sample": False}
            lacking = sorted(set(fixed) - known)
        else:
            lacking = [] if "use_flow_sigmas" in known or name.startswith("FlowMatch") else ["use_flow_sigmas"]
        if lacking:
            what = "discrete-time diffusion" if isinstance(path, DiffusionPath) else "straight paths"
            raise UsageError(f"the sampler {name} does not fit {what}: it has no {', '.join(lacking)}; use another.")
        steps = set(inspect.signature(self.kind.step).parameters)
        for option in options or {}:
            if option in fixed:
                raise UsageError(f"the option '{option}' of the sampler {name} is set by the head; leave it out.")
            if option not in known | (steps - {"self", "model_output", "timestep", "sample", "generator"}):
                raise UsageError(f"the sampler {name} has no option '{option}'. {nearest(option, sorted(known))}")
        settings = {key: value for key, value in {**usual, **fixed}.items() if key in known}
        self.settings = {**settings, **{key: value for key, value in (options or {}).items() if key in known}}
        self.extra = {key: value for key, value in (options or {}).items() if key not in known}
        self.draws = "generator" in steps
        self._check()

    def steps(
        self, network: Network, noise: Tensor, *, num_steps: int, random: SampleRandom
    ) -> Iterator[Tensor]:
        """Yield `num_steps` estimates of the data `(N, n, d)`, the last one the result.

        Args:
            network: Gives the path's prediction.
            noise: Standard normal `(N, n, d)`.
            num_steps: Steps of the scheduler; those of second order call the network twice in each but the last.
            random: One stream a row, for schedulers that draw noise.
        """
        scheduler = self._made(num_steps)
        straight = isinstance(self.path, StraightPath)
        extra = {**self.extra, "generator": random.generators} if self.draws else self.extra
        state = noise * scheduler.init_noise_sigma if hasattr(scheduler, "init_noise_sigma") else noise
        calls = list(scheduler.timesteps)
        for number, step in enumerate(calls):
            now = 1 - scheduler.sigmas[number] if straight else self.path.time(step)  # type: ignore[attr-defined]
            time = now.float().cpu().expand(len(state))
            shown = scheduler.scale_model_input(state, step) if hasattr(scheduler, "scale_model_input") else state
            given = network(shown, time)
            shown, state, time = shown.to(given), state.to(given), time.to(given.device)
            output = -given if straight else given  # diffusers' velocity leads to the noise
            state = scheduler.step(output, step, state, **extra, return_dict=False)[0]
            if number == len(calls) - 1:
                yield state
            elif (number + 1) * num_steps // len(calls) > number * num_steps // len(calls):
                yield self.path.estimate(given, shown, time)

    def _made(self, num_steps: int) -> Any:
        if isinstance(self.path, DiffusionPath) and num_steps > len(self.path.alphas):
            raise UsageError(
                f"{num_steps} steps are more than the {len(self.path.alphas)} noise levels of the head; take fewer."
            )
        scheduler = self.kind(**self.settings)
        takes = inspect.signature(scheduler.set_timesteps).parameters
        if "sigmas" in takes and "use_flow_sigmas" not in self.settings and isinstance(self.path, StraightPath):
            scheduler.set_timesteps(sigmas=torch.linspace(1, 1 / num_steps, num_steps).tolist())
        else:
            scheduler.set_timesteps(num_steps)
            if not hasattr(scheduler, "sigmas"):  # rounding may add a step before the first level
                scheduler.timesteps = scheduler.timesteps[scheduler.timesteps >= 0]
        return scheduler

    def _check(self) -> None:
        data = torch.linspace(-1.5, 1.5, 12).view(2, 2, 3)
        noise = SampleRandom(0, range(2)).normal(2, 3)
        num_steps = min(8, len(self.path.alphas)) if isinstance(self.path, DiffusionPath) else 8
        state = torch.get_rng_state()
        try:
            known = lambda shown, time: self.path.express(data, shown, time)  # noqa: E731
            *_, end = self.steps(known, noise, num_steps=num_steps, random=SampleRandom(1, range(2)))
        except Exception as error:
            raise UsageError(f"the sampler {self.name} with these options cannot make a step: {error}") from error
        drew = not torch.equal(state, torch.get_rng_state())
        torch.set_rng_state(state)
        if drew:
            raise UsageError(
                f"the sampler {self.name} draws noise from a global state, so no drawing could be repeated; use "
                "another."
            )
        levels = getattr(self._made(num_steps), "alphas_cumprod", None)
        if isinstance(self.path, DiffusionPath) and levels is not None and not torch.allclose(levels, self.path.alphas):
            raise UsageError(
                f"the sampler {self.name} with these options has other noise levels than the head was trained on; "
                "leave out what changes them."
            )
        distance = float((end - data).abs().max())
        if not distance < 0.1:
            raise UsageError(
                f"the sampler {self.name} with these options misses the data by {distance:.2g} even with a network "
                "that knows them; use another."
            )


def _scheduler(name: str) -> Any:
    """Return a scheduler class of diffusers."""
    import diffusers

    names = [known for known in dir(diffusers) if known.endswith("Scheduler")]
    if name not in names:
        raise UsageError(f"diffusers has no sampler '{name}'. {nearest(name, names)}")
    found = getattr(diffusers, name)
    if not issubclass(found, diffusers.SchedulerMixin):  # diffusers puts an empty class where a library is missing
        raise UsageError(f"the sampler {name} needs a library that is not installed; use another.")
    return found
