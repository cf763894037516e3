from __future__ import annotations

import pytest
import torch
from diffusers import HeunDiscreteScheduler
from mmgraph_heads.schedulers import DiffusionPath, Stepper, StraightPath, alphas

from mmgraph.errors import UsageError
from mmgraph.heads import ddpm, flow
from mmgraph.randomness import SampleRandom


class TestPaths:
    @pytest.mark.parametrize("prediction", ["epsilon", "velocity", "data"])
    def test_what_stands_for_the_data_gives_them_back(self, prediction):
        path = DiffusionPath(prediction, alphas("cosine", 100))
        data, state, time = torch.randn(3, 4, 5), torch.randn(3, 4, 5), torch.tensor([0.2, 0.5, 0.9])
        torch.testing.assert_close(path.estimate(path.express(data, state, time), state, time), data)

    def test_straight(self):
        data, noise, time = torch.randn(3, 4, 5), torch.randn(3, 4, 5), torch.tensor([0.2, 0.5, 0.9])
        t = time[:, None, None]
        state = (1 - t) * noise + t * data
        torch.testing.assert_close(StraightPath().express(data, state, time), data - noise)
        torch.testing.assert_close(StraightPath().estimate(data - noise, state, time), data)

    def test_every_level_has_its_time_and_every_time_its_level(self):
        path = DiffusionPath("data", alphas("linear", 1000))
        level = torch.arange(1000)
        assert torch.equal(path.level(path.time(level)), level)
        assert path.level(torch.tensor([0.0, 0.25, 1.0])).tolist() == [999, 749, 0]
        signal, noise = path.scales(path.time(level))
        torch.testing.assert_close(signal.flatten() ** 2, path.alphas)
        torch.testing.assert_close(noise.flatten() ** 2, 1 - path.alphas)

    def test_between_two_levels_log_sigma_is_interpolated(self):
        path = DiffusionPath("data", alphas("linear", 1000))
        sigma = ((1 - path.alphas) / path.alphas).sqrt()
        signal, noise = path.scales(path.time(torch.tensor([500.25])))
        expected = sigma[500].log() * 0.75 + sigma[501].log() * 0.25
        torch.testing.assert_close((noise / signal).log().flatten(), expected[None], atol=1e-5, rtol=1e-5)


class TestSteps:
    def test_a_second_order_scheduler_gives_as_many_results_as_steps(self):
        calls = []

        def run(state: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            calls.append(float(time[0]))
            return torch.zeros_like(state)

        head = ddpm("epsilon", sampler="HeunDiscreteScheduler")
        steps = list(head.sample(run, (1, 2, 3), num_steps=6, random=SampleRandom(0, [0])))
        scheduler = HeunDiscreteScheduler(timestep_spacing="trailing")
        scheduler.set_timesteps(6)
        assert len(steps) == 6
        assert len(calls) == 11
        assert calls == pytest.approx([1 - (float(step) + 1) / 1000 for step in scheduler.timesteps], abs=1e-5)

    def test_karras_levels_fall_between_ours(self):
        data = torch.randn(2, 3, 4)
        for sampler in ("EulerDiscreteScheduler", "DPMSolverMultistepScheduler"):
            head = ddpm(sampler=sampler, sampler_options={"use_karras_sigmas": True})
            *_, last = head.sample(lambda s, t: data, (2, 3, 4), num_steps=7, random=SampleRandom(0, (0, 1)))
            torch.testing.assert_close(last, data, atol=1e-3, rtol=1e-3)

    def test_two_drawings_do_not_share_a_memory(self):
        stepper = Stepper("DPMSolverMultistepScheduler", None, path=DiffusionPath("data", alphas("linear", 1000)))
        noise, table = torch.randn(2, 3, 4), torch.randn(4, 4)
        draw = lambda: list(  # noqa: E731
            stepper.steps(lambda s, t: torch.tanh(s @ table), noise, num_steps=4, random=SampleRandom(0, (0, 1)))
        )
        assert torch.equal(draw()[-1], draw()[-1])


class TestRefusals:
    @pytest.mark.parametrize(
        ("head", "options", "message"),
        [
            (ddpm, {"sampler": "DDIMSheduler"}, "diffusers has no sampler 'DDIMSheduler'.*DDIMScheduler"),
            (flow, {"sampler": "Euler"}, "diffusers has no sampler 'Euler'"),
            (ddpm, {"sampler": "FlowMatchEulerDiscreteScheduler"}, "does not fit discrete-time diffusion: it has no"),
            (flow, {"sampler": "DDIMScheduler"}, "does not fit straight paths: it has no use_flow_sigmas"),
            (ddpm, {"sampler": "DDIMInverseScheduler"}, "misses the data by"),
            (flow, {"sampler": "SASolverScheduler"}, "misses the data by"),
            (ddpm, {"sampler": "EulerAncestralDiscreteScheduler"}, "cannot make a step: prediction_type"),
            (ddpm, {"sampler": "VQDiffusionScheduler"}, "has no beta_schedule"),
            (ddpm, {"sampler_options": {"ete": 1.0}}, "DDIMScheduler has no option 'ete'"),
            (ddpm, {"sampler_options": {"num_train_timesteps": 10}}, "'num_train_timesteps' of .* is set by the head"),
            (ddpm, {"sampler_options": {"rescale_betas_zero_snr": True}}, "has other noise levels"),
            (ddpm, {"sampler_options": {"beta_end": 0.5}}, "has other noise levels"),
            (flow, {"sampler_options": {"shift": 3.0}}, "the sampler euler has no option 'shift'"),
        ],
    )
    def test_what_does_not_fit(self, head, options, message):
        with pytest.raises(UsageError, match=message):
            head(**options)

    def test_more_steps_than_levels(self):
        head = ddpm(num_levels=4)
        data = torch.randn(1, 2, 3)
        draw = lambda num_steps: list(  # noqa: E731
            head.sample(lambda s, t: data, (1, 2, 3), num_steps=num_steps, random=SampleRandom(0, [0]))
        )
        torch.testing.assert_close(draw(4)[-1], data)
        with pytest.raises(UsageError, match="5 steps are more than the 4 noise levels of the head"):
            draw(5)

    def test_noise_from_a_global_state(self, monkeypatch):
        import diffusers

        class Careless(diffusers.DDIMScheduler):
            def step(self, model_output, timestep, sample, return_dict=True):
                found = super().step(model_output, timestep, sample, return_dict=False)[0]
                return (found + 0 * torch.randn_like(found),)

        monkeypatch.setattr(diffusers, "DDIMScheduler", Careless)
        state = torch.get_rng_state()
        with pytest.raises(UsageError, match="draws noise from a global state"):
            ddpm()
        assert torch.equal(state, torch.get_rng_state())

    def test_a_library_that_is_not_there(self, monkeypatch):
        import diffusers

        monkeypatch.setattr(diffusers, "DDIMScheduler", type("DDIMScheduler", (), {}))
        with pytest.raises(UsageError, match="needs a library that is not installed"):
            ddpm()
