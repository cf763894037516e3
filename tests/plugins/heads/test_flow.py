from __future__ import annotations

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from mmgraph.errors import UsageError
from mmgraph.heads import flow
from mmgraph.randomness import SampleRandom
from mmgraph.testing import assert_conforms
from mmgraph.testing.stand_ins import Codes, Vectors
from mmgraph.vocabulary import Vocabulary

MEAN, DEVIATION = 1.5, 0.4


def denoiser(state: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    """The exact expectation of normal data given what it was mixed with noise to."""
    t = time[:, None, None]
    gain = t * DEVIATION**2 / (t**2 * DEVIATION**2 + (1 - t) ** 2)
    return MEAN + gain * (state - t * MEAN)


def velocity(state: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    """The exact expectation of data minus noise, from the same Gaussians by regression."""
    t = time[:, None, None]
    gain = (t * DEVIATION**2 - (1 - t)) / (t**2 * DEVIATION**2 + (1 - t) ** 2)
    return MEAN + gain * (state - t * MEAN)


def built(**options):
    head = flow(**options)
    head.build(Vectors(), Vocabulary({}, 8), 8, 4)
    return head


def sampled(head, run, shape, num_steps, keys=(0,)):
    return list(head.sample(run, shape, num_steps=num_steps, random=SampleRandom(0, keys)))


def test_contract():
    assert_conforms("heads", flow)
    assert_conforms("heads", flow, lambda: flow("velocity"))
    assert_conforms("heads", flow, lambda: flow(sampler="DPMSolverMultistepScheduler"))
    stochastic = {"sampler": "FlowMatchEulerDiscreteScheduler", "sampler_options": {"stochastic_sampling": True}}
    assert_conforms("heads", flow, lambda: flow(**stochastic))


class TestSample:
    @pytest.mark.parametrize(("prediction", "run"), [("data", denoiser), ("velocity", velocity)])
    def test_the_exact_denoiser_of_a_gaussian_draws_that_gaussian(self, prediction, run):
        draws = sampled(flow(prediction), run, (1, 20_000, 1), 100)[-1]
        assert float(draws.mean()) == pytest.approx(MEAN, abs=0.01)
        assert float(draws.std()) == pytest.approx(DEVIATION, rel=0.03)

    def test_error_falls_with_the_number_of_steps(self):
        # the exact flow maps noise e to MEAN + DEVIATION * e
        noise = SampleRandom(0, [0]).normal(200, 1)
        errors = [
            float((sampled(flow(), denoiser, (1, 200, 1), steps)[-1] - MEAN - DEVIATION * noise).abs().mean())
            for steps in (10, 40, 160)
        ]
        assert errors[0] > 3 * errors[1] > 9 * errors[2]  # Euler's error is of first order

    @pytest.mark.parametrize("num_steps", [1, 4, 30])
    def test_trajectory_is_that_of_diffusers(self, num_steps):
        table = torch.randn(6, 6)

        def run(state: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            return torch.tanh(state @ table) * (1 + time[:, None, None])

        found = sampled(flow("velocity"), run, (2, 5, 6), num_steps, (0, 1))[-1]
        scheduler = FlowMatchEulerDiscreteScheduler()
        sigmas = torch.linspace(1, 1 / num_steps, num_steps)  # sigma = 1 - t
        scheduler.set_timesteps(sigmas=sigmas.tolist())
        state = SampleRandom(0, (0, 1)).normal(5, 6)
        for sigma, step in zip(sigmas, scheduler.timesteps, strict=True):
            time = (1 - sigma).expand(2)
            state = scheduler.step(-run(state, time), step, state, return_dict=False)[0]
        torch.testing.assert_close(found, state, atol=1e-4, rtol=1e-4)

    def test_a_network_that_knows_the_data_arrives_there_at_once(self):
        data = torch.randn(2, 3, 4)
        steps = sampled(flow(), lambda state, time: data, (2, 3, 4), 7, (0, 1))
        assert len(steps) == 7
        for estimate in steps:
            torch.testing.assert_close(estimate, data)

    def test_time_starts_at_noise_and_never_reaches_data(self):
        seen = []
        sampled(flow(), lambda state, time: seen.append(time) or state, (2, 3, 4), 5, (0, 1))
        torch.testing.assert_close(torch.stack(seen), (torch.arange(5.0) / 5)[:, None].expand(5, 2))


class TestSampler:
    """Schedulers of diffusers in place of the own Euler steps."""

    @pytest.mark.parametrize("prediction", ["data", "velocity"])
    def test_the_own_euler_steps_are_those_of_diffusers(self, prediction):
        table = torch.randn(6, 6)

        def run(state: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            return torch.tanh(state @ table) * (1 + time[:, None, None])

        for num_steps in (1, 4, 30):
            own, theirs = (
                sampled(flow(prediction, sampler=sampler), run, (2, 5, 6), num_steps, (0, 1))
                for sampler in ("euler", "FlowMatchEulerDiscreteScheduler")
            )
            assert len(own) == len(theirs) == num_steps
            for left, right in zip(own, theirs, strict=True):
                torch.testing.assert_close(left, right, atol=1e-4, rtol=1e-4)

    @pytest.mark.parametrize(
        "sampler",
        [
            "FlowMatchEulerDiscreteScheduler",
            "FlowMatchHeunDiscreteScheduler",
            "DPMSolverMultistepScheduler",
            "UniPCMultistepScheduler",
        ],
    )
    @pytest.mark.parametrize("prediction", ["data", "velocity"])
    def test_with_a_perfect_network_every_scheduler_returns_the_data(self, sampler, prediction):
        data = torch.randn(2, 3, 4)

        def run(state: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            assert bool((time < 1).all())
            return data if prediction == "data" else (data - state) / (1 - time[:, None, None])

        for num_steps in (3, 20):
            steps = sampled(flow(prediction, sampler=sampler), run, (2, 3, 4), num_steps, (0, 1))
            assert len(steps) == num_steps
            assert float((steps[-1] - data).abs().max()) < 0.01

    def test_higher_order_is_nearer_at_equal_calls_of_the_network(self):
        noise = SampleRandom(0, [0]).normal(200, 1)
        errors = {}
        for sampler, num_steps in (("euler", 19), ("FlowMatchHeunDiscreteScheduler", 10)):
            calls = []
            run = lambda state, time, calls=calls: calls.append(1) or denoiser(state, time)  # noqa: E731
            found = sampled(flow(sampler=sampler), run, (1, 200, 1), num_steps)[-1]
            assert len(calls) == 19
            errors[sampler] = float((found - MEAN - DEVIATION * noise).abs().mean())
        assert errors["FlowMatchHeunDiscreteScheduler"] < 0.5 * errors["euler"]

    def test_options_reach_the_scheduler(self):
        seen = []
        head = flow(sampler="FlowMatchEulerDiscreteScheduler", sampler_options={"shift": 3.0})
        sampled(head, lambda state, time: seen.append(float(time[0])) or state, (1, 2, 3), 4)
        sigmas = [1, 0.75, 0.5, 0.25]
        assert seen == pytest.approx([1 - 3 * s / (1 + 2 * s) for s in sigmas], abs=1e-5)


class TestPrepare:
    def test_time_zero_is_noise_and_one_is_data(self):
        tokens = torch.randn(3, 4, 5)
        time = torch.tensor([0.0, 0.5, 1.0])
        prepared = flow().prepare(tokens, random=SampleRandom(0, range(3)), time=time)
        torch.testing.assert_close(prepared.inputs[0], prepared.noise[0])
        torch.testing.assert_close(prepared.inputs[1], (prepared.noise[1] + tokens[1]) / 2)
        torch.testing.assert_close(prepared.inputs[2], tokens[2])

    @pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (-0.8, 0.5)])
    def test_times_are_logit_normal(self, mean, std):
        count = 3000
        head = flow(time_mean=mean, time_std=std)
        prepared = head.prepare(torch.zeros(count, 1, 1), random=SampleRandom(0, range(count)))
        logits = torch.logit(prepared.time)
        assert float(logits.mean()) == pytest.approx(mean, abs=4 * std / count**0.5)
        assert float(logits.std()) == pytest.approx(std, rel=0.06)


class TestLoss:
    def test_data_and_velocity_agree_where_the_weight_is_not_clipped(self, monkeypatch):
        tokens, given = torch.randn(3, 4, 16), torch.randn(3, 4, 16)
        time = torch.tensor([0.0, 0.5, 0.89])
        data, speed = built(clip=0.1), built(prediction="velocity")
        prepared = data.prepare(tokens, random=SampleRandom(0, range(3)), time=time)
        monkeypatch.setattr(data, "predict", lambda hidden, condition: given)
        as_velocity = (given - prepared.inputs) / (1 - time[:, None, None])
        monkeypatch.setattr(speed, "predict", lambda hidden, condition: as_velocity)
        hidden, condition = torch.zeros(3, 4, 8), torch.zeros(3, 4)
        left, right = (head.loss(hidden, prepared, condition) for head in (data, speed))
        torch.testing.assert_close(left, right)

    def test_by_its_formula(self, monkeypatch):
        head = built(clip=0.25)
        tokens, given = torch.randn(2, 4, 16), torch.randn(2, 4, 16)
        prepared = head.prepare(tokens, random=SampleRandom(0, range(2)), time=torch.tensor([0.5, 0.9]))
        prepared.score_mask = torch.tensor([[True, True, False, True], [True, False, False, True]])
        monkeypatch.setattr(head, "predict", lambda hidden, condition: given)
        total, count = head.loss(torch.zeros(2, 4, 8), prepared, torch.zeros(2, 4))
        expected = sum(
            float(((given[n, k] - tokens[n, k]) ** 2).mean()) / max(0.25, 1 - time) ** 2
            for n, time in enumerate((0.5, 0.9))
            for k in range(4)
            if prepared.score_mask[n, k]
        )
        assert int(count) == 5
        assert float(total) == pytest.approx(expected, rel=1e-5)

    def test_starts_from_predicting_nothing(self):
        head = built()
        assert not head.predict(torch.randn(2, 4, 8), torch.randn(2, 4)).any()


def test_codes_are_refused():
    with pytest.raises(UsageError, match="flow head models vectors, but Codes gives codes"):
        flow().build(Codes(), Vocabulary({}, 8), 8, 4)
