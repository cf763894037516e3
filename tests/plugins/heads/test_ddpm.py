from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from mmgraph.errors import UsageError
from mmgraph.heads import ddpm
from mmgraph.randomness import SampleRandom
from mmgraph.testing import assert_conforms
from mmgraph.testing.stand_ins import Codes, Vectors
from mmgraph.vocabulary import Vocabulary

PREDICTIONS = ("epsilon", "velocity", "data")
FITTING = (
    "DDIMScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "UniPCMultistepScheduler",
)
MEAN, DEVIATION = 1.5, 0.4


def built(**options):
    head = ddpm(**options)
    head.build(Vectors(), Vocabulary({}, 8), 8, 4)
    return head


def levels(time: torch.Tensor) -> torch.Tensor:
    return (1000 * (1 - time)).round().long() - 1


def perfect(prediction: str, data: torch.Tensor, schedule: str = "linear"):
    """A network that knows the data, by diffusers' table and the definitions of the three predictions."""
    table = DDPMScheduler(beta_schedule=schedule).alphas_cumprod

    def run(state: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        share = table[levels(time).clamp_min(0)][:, None, None]
        epsilon = (state - share.sqrt() * data) / (1 - share).sqrt()
        velocity = share.sqrt() * epsilon - (1 - share).sqrt() * data
        return {"epsilon": epsilon, "velocity": velocity, "data": data}[prediction]

    return run


def sampled(head, run, shape, num_steps, keys=(0,)):
    return list(head.sample(run, shape, num_steps=num_steps, random=SampleRandom(0, keys)))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"prediction": "epsilon", "schedule": "cosine", "min_snr_gamma": 5.0},
        {"prediction": "velocity", "sampler": "DPMSolverMultistepScheduler"},
        {"sampler": "DDPMScheduler"},
        {"sampler": "DPMSolverMultistepScheduler", "sampler_options": {"algorithm_type": "sde-dpmsolver++"}},
        {"sampler": "DDIMScheduler", "sampler_options": {"eta": 1.0}},
        {"prediction": "epsilon", "sampler": "EulerAncestralDiscreteScheduler"},
    ],
)
def test_contract(options):
    # among its promises: a drawing does not depend on its batch, also where the scheduler draws noise
    assert_conforms("heads", ddpm, lambda: ddpm(**options))


class TestPrepare:
    @pytest.mark.parametrize(("schedule", "name"), [("linear", "linear"), ("cosine", "squaredcos_cap_v2")])
    def test_noise_is_added_as_diffusers_adds_it(self, schedule, name):
        tokens = torch.randn(6, 4, 16)
        prepared = ddpm(schedule=schedule).prepare(tokens, random=SampleRandom(0, range(6)))
        scheduler = DDPMScheduler(beta_schedule=name)
        expected = scheduler.add_noise(tokens, prepared.noise, levels(prepared.time))
        torch.testing.assert_close(prepared.inputs, expected)

    def test_levels_are_uniform_and_their_times_stand_for_them(self):
        rows = 5000
        head = ddpm(num_levels=10)
        prepared = head.prepare(torch.zeros(rows, 1, 1), random=SampleRandom(0, range(rows)))
        found = (10 * (1 - prepared.time)).round().long()
        assert set(found.tolist()) == set(range(1, 11))  # never 0: data without noise teach nothing
        assert float((found.bincount(minlength=11)[1:] / rows - 0.1).abs().max()) < 0.02

    def test_near_time_one_there_is_almost_no_noise(self):
        tokens = torch.randn(2, 4, 16)
        prepared = ddpm().prepare(tokens, random=SampleRandom(0, range(2)), time=torch.tensor([1.0, 0.0]))
        assert float((prepared.inputs - tokens)[0].abs().max()) < 0.05
        assert float((prepared.inputs - prepared.noise)[1].abs().max()) < 0.05


class TestLoss:
    def losses(self, monkeypatch, gamma, time):
        tokens, guess = torch.randn(3, 4, 16), torch.randn(3, 4, 16)
        found = {}
        for prediction in PREDICTIONS:
            head = built(prediction=prediction, min_snr_gamma=gamma)
            prepared = head.prepare(tokens, random=SampleRandom(0, range(3)), time=time)
            given = perfect(prediction, guess)(prepared.inputs, time)  # one wrong guess, said in three ways
            monkeypatch.setattr(head, "predict", lambda hidden, condition, given=given: given)
            total, count = head.loss(torch.zeros(3, 4, 8), prepared, torch.zeros(3, 4))
            assert int(count) == 12
            found[prediction] = float(total)
        return found

    @pytest.mark.parametrize("time", [0.9, 0.5, 0.2])
    def test_the_three_predictions_differ_by_the_signal_to_noise_ratio(self, monkeypatch, time):
        times = torch.full((3,), time)
        share = float(DDPMScheduler().alphas_cumprod[int(levels(times)[0])])
        ratio = share / (1 - share)
        found = self.losses(monkeypatch, None, times)
        assert found["epsilon"] == pytest.approx(ratio * found["data"], rel=1e-3)
        assert found["velocity"] == pytest.approx((ratio + 1) * found["data"], rel=1e-3)
        weighted = self.losses(monkeypatch, 5.0, times)
        for prediction in PREDICTIONS:
            ratios = weighted[prediction] / weighted["data"]
            assert ratios == pytest.approx(1, rel=1e-3)

    def test_min_snr_caps_the_weight(self, monkeypatch):
        tokens = torch.randn(3, 4, 16)
        time = torch.tensor([0.99, 0.6, 0.2])
        head = built(prediction="data", min_snr_gamma=5.0)
        prepared = head.prepare(tokens, random=SampleRandom(0, range(3)), time=time)
        monkeypatch.setattr(head, "predict", lambda hidden, condition: tokens + 1)
        share = DDPMScheduler().alphas_cumprod[levels(time)]
        expected = 4 * float((share / (1 - share)).clamp_max(5).sum())
        assert float((share / (1 - share)).max()) > 5
        total, _ = head.loss(torch.zeros(3, 4, 8), prepared, torch.zeros(3, 4))
        assert float(total) == pytest.approx(expected, rel=1e-4)

    def test_velocity_is_that_of_diffusers(self, monkeypatch):
        head = built(prediction="velocity")
        tokens = torch.randn(3, 4, 16)
        prepared = head.prepare(tokens, random=SampleRandom(0, range(3)))
        wanted = DDPMScheduler().get_velocity(tokens, prepared.noise, levels(prepared.time))
        monkeypatch.setattr(head, "predict", lambda hidden, condition: wanted)
        assert float(head.loss(torch.zeros(3, 4, 8), prepared, torch.zeros(3, 4))[0]) < 1e-8


class TestSample:
    @pytest.mark.parametrize("sampler", FITTING)
    @pytest.mark.parametrize("prediction", PREDICTIONS)
    def test_with_a_perfect_network_every_scheduler_returns_the_data(self, sampler, prediction):
        data = torch.randn(2, 3, 4)
        for num_steps in (5, 20, 61):  # 61 steps: rounding would add one before the first level
            head = ddpm(prediction, sampler=sampler)
            steps = sampled(head, perfect(prediction, data), (2, 3, 4), num_steps, (0, 1))
            assert len(steps) == num_steps
            assert float((steps[-1] - data).abs().max()) < 0.05
            assert float((steps[num_steps // 2] - data).abs().max()) < 0.05  # estimates on the way are of the data

    def test_the_trajectory_is_that_of_diffusers(self):
        table = torch.randn(6, 6)

        def run(state: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            return torch.tanh(state @ table) * (1 + time[:, None, None])

        found = sampled(ddpm("epsilon"), run, (2, 5, 6), 12, (0, 1))[-1]
        scheduler = DDIMScheduler(timestep_spacing="trailing", clip_sample=False)
        scheduler.set_timesteps(12)
        assert int(scheduler.timesteps[0]) == 999
        state = SampleRandom(0, (0, 1)).normal(5, 6)
        for step in scheduler.timesteps:
            output = run(state, (1 - (step + 1) / 1000).expand(2))
            state = scheduler.step(output, step, state).prev_sample
        torch.testing.assert_close(found, state, atol=1e-4, rtol=1e-4)

    @pytest.mark.parametrize(
        ("sampler", "num_steps"),
        [("DDIMScheduler", 100), ("DPMSolverMultistepScheduler", 100), ("DDPMScheduler", 250)],
    )
    def test_the_exact_denoiser_of_a_gaussian_draws_that_gaussian(self, sampler, num_steps):
        table = DDPMScheduler().alphas_cumprod

        def run(state: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            share = table[levels(time).clamp_min(0)][:, None, None]
            gain = share.sqrt() * DEVIATION**2 / (share * DEVIATION**2 + 1 - share)
            return MEAN + gain * (state - share.sqrt() * MEAN)

        draws = sampled(ddpm(sampler=sampler), run, (1, 20_000, 1), num_steps)[-1]
        assert float(draws.mean()) == pytest.approx(MEAN, abs=0.02)
        assert float(draws.std()) == pytest.approx(DEVIATION, rel=0.05)

    def test_the_body_reads_times_from_noise_to_data(self):
        seen = []
        sampled(ddpm(), lambda state, time: seen.append(time) or state, (2, 3, 4), 5, (0, 1))
        torch.testing.assert_close(torch.stack(seen), (torch.arange(5.0) / 5)[:, None].expand(5, 2))


def test_codes_are_refused():
    with pytest.raises(UsageError, match="ddpm head models vectors, but Codes gives codes"):
        ddpm().build(Codes(), Vocabulary({}, 8), 8, 4)
