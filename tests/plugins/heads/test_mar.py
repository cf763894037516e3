from __future__ import annotations

import math

import pytest
import torch

from mmgraph.errors import UsageError
from mmgraph.heads import mar
from mmgraph.randomness import SampleRandom
from mmgraph.testing import assert_conforms
from mmgraph.testing.stand_ins import Codes, Vectors
from mmgraph.testing.suite import stir
from mmgraph.vocabulary import Vocabulary

MEAN, DEVIATION = 1.5, 0.4


def built(**options):
    head = mar(16, 2, **options)
    head.build(Vectors(), Vocabulary({}, 8), 8, 0)
    stir(head)
    return head


def sampled(head, run, shape, num_steps, keys=(0,)):
    with torch.no_grad():
        return list(head.sample(run, shape, num_steps=num_steps, random=SampleRandom(0, keys)))


def test_contract():
    small = {"repeats": 2, "denoising_steps": 2}
    assert_conforms("heads", mar, lambda: mar(16, 1, **small))
    assert_conforms("heads", mar, lambda: mar(16, 1, **small, sampler="DPMSolverMultistepScheduler"))


class TestPrepare:
    @pytest.mark.parametrize("least", [0.7, 0.0])
    def test_the_share_hidden_is_half_a_normal_cut(self, least):
        rows, n = 4000, 100
        head = mar(least_hidden=least, repeats=1)
        prepared = head.prepare(torch.zeros(rows, n, 1), random=SampleRandom(0, range(rows)))
        share = prepared.score_mask.float().mean(1)
        assert float(share.min()) >= least
        inside = math.erf((1 - least) / 0.25 / 2**0.5)
        for r in (0.75, 0.9):
            expected = 1 - math.erf((1 - r) / 0.25 / 2**0.5) / inside  # P(share <= r)
            assert float((share <= r).float().mean()) == pytest.approx(expected, abs=0.04)

    def test_hidden_tokens_are_not_in_the_inputs(self):
        tokens = torch.randn(5, 12, 3)
        prepared = mar().prepare(tokens, random=SampleRandom(0, range(5)))
        assert torch.equal(prepared.inputs[..., 3] == 1, prepared.score_mask)
        assert not prepared.inputs[prepared.score_mask][:, :3].any()
        assert torch.equal(prepared.inputs[..., :3][~prepared.score_mask], tokens[~prepared.score_mask])
        assert prepared.levels.shape == (5, 12, 4)

    def test_the_body_reads_one_mask_in_their_place(self):
        head = built()
        tokens = torch.randn(3, 4, 16)
        prepared = head.prepare(tokens, random=SampleRandom(0, range(3)))
        usual = lambda x: x[..., :8]  # noqa: E731
        found = head.embed(prepared.inputs, usual)
        expected = torch.where(prepared.score_mask[..., None], head.mask, tokens[..., :8])
        torch.testing.assert_close(found, expected)


class TestLoss:
    def test_by_its_formula(self):
        head = built(repeats=3, clip=0.25)
        tokens, hidden = torch.randn(2, 4, 16), torch.randn(2, 4, 8)
        prepared = head.prepare(tokens, random=SampleRandom(0, range(2)))
        with torch.no_grad():
            total, count = head.loss(hidden, prepared)
            expected = 0.0
            for row, place in prepared.score_mask.nonzero().tolist():
                for repeat in range(3):
                    t = prepared.levels[row, place, repeat]
                    state = (1 - t) * prepared.noise[row, place, repeat] + t * tokens[row, place]
                    given = head.denoiser(state, t, hidden[row, place])
                    error = float((given - tokens[row, place]).square().mean())
                    expected += error / max(0.25, 1 - float(t)) ** 2 / 3
        assert int(count) == int(prepared.score_mask.sum())
        assert float(total) == pytest.approx(expected, rel=1e-4)

    def test_it_learns_what_depends_on_the_condition(self):
        """Two conditions, two Gaussians: after training the denoiser draws each where it is told to."""
        torch.manual_seed(0)
        head = mar(96, 1, time_mean=-0.5)
        head.build(Vectors(), Vocabulary({}, 8), 8, 0)
        optimizer = torch.optim.AdamW(head.parameters(), 3e-3)
        condition = torch.zeros(32, 4, 8)
        condition[:, ::2, 0], condition[:, 1::2, 0] = 1, -1
        for step in range(150):
            random = SampleRandom(step, range(32))
            tokens = condition[..., :1] * MEAN + DEVIATION * random.normal(4, 16)
            total, count = head.loss(condition, head.prepare(tokens, random=random))
            optimizer.zero_grad()
            (total / count).backward()
            optimizer.step()
        drawn = sampled(head, lambda inputs, time: condition, (32, 4, 16), 4, range(32))[-1]
        for places, sign in ((slice(0, None, 2), 1), (slice(1, None, 2), -1)):
            assert float(drawn[:, places].mean()) == pytest.approx(sign * MEAN, abs=0.15)
            assert float(drawn[:, places].std()) == pytest.approx(DEVIATION, rel=0.3)


class TestSample:
    def test_as_many_are_hidden_as_the_cosine_says_each_drawn_once(self):
        read = []

        def run(inputs: torch.Tensor, time: None) -> torch.Tensor:
            read.append(inputs)
            return torch.zeros(2, 16, 8)

        steps = sampled(built(denoising_steps=2), run, (2, 16, 16), 5, (0, 1))
        left = [int(inputs[0, :, 16].sum()) for inputs in read]
        assert left == [math.floor(16 * math.cos(math.pi / 2 * k / 5)) for k in range(5)]
        for inputs, before in zip(read[1:], steps, strict=False):
            shown = inputs[..., 16] == 0
            assert torch.equal(inputs[..., :16][shown], before[shown])
            assert torch.equal(steps[-1][shown], before[shown])
        assert not torch.equal(read[1][0, :, 16], read[1][1, :, 16])  # an order of its own for each sample

    def test_never_more_steps_than_tokens(self):
        condition = torch.zeros(1, 4, 8)
        steps = sampled(built(denoising_steps=2), lambda inputs, time: condition, (1, 4, 16), 50)
        assert len(steps) <= 4

    def test_a_denoiser_that_knows_the_data_draws_them(self, monkeypatch):
        head = built(denoising_steps=3)
        data = torch.randn(2, 4, 16)
        # the condition names the token: its row and place
        names = torch.arange(8.0).view(2, 4, 1).expand(2, 4, 8)
        known = lambda state, time, condition: data.flatten(0, 1)[condition[..., 0].long()]  # noqa: E731
        monkeypatch.setattr(head.denoiser, "forward", known)
        torch.testing.assert_close(sampled(head, lambda inputs, time: names, (2, 4, 16), 3, (0, 1))[-1], data)

    @pytest.mark.parametrize("sampler", ["euler", "FlowMatchEulerDiscreteScheduler", "DPMSolverMultistepScheduler"])
    def test_the_exact_denoiser_of_a_gaussian_draws_that_gaussian(self, monkeypatch, sampler):
        def exact(state: torch.Tensor, time: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
            t = time[..., None]
            return MEAN + t * DEVIATION**2 / (t**2 * DEVIATION**2 + (1 - t) ** 2) * (state - t * MEAN)

        head = built(denoising_steps=100, sampler=sampler)
        monkeypatch.setattr(head.denoiser, "forward", exact)
        conditions = torch.zeros(200, 4, 8)
        drawn = sampled(head, lambda inputs, time: conditions, (200, 4, 16), 4, range(200))[-1]
        assert float(drawn.mean()) == pytest.approx(MEAN, abs=0.03)
        assert float(drawn.std()) == pytest.approx(DEVIATION, rel=0.05)

    def test_guidance_mixes_what_the_denoiser_gives(self, monkeypatch):
        """One step from noise shows the denoiser's output itself, which is no linear map of the condition."""
        head = built(denoising_steps=1)
        given, null = torch.randn(2, 4, 8), torch.randn(2, 4, 8)
        draw = lambda conditions: sampled(head, lambda i, t: conditions, (2, 4, 16), 1, (0, 1))[-1]  # noqa: E731
        expected = draw(null) + 3 * (draw(given) - draw(null))
        torch.testing.assert_close(draw(head.guide(given, null, 3.0)), expected, atol=1e-4, rtol=1e-4)
        mixed = draw(null + 3 * (given - null))
        assert not torch.allclose(mixed, expected, atol=0.05)


def test_refusals():
    with pytest.raises(UsageError, match="mar head models vectors, but Codes gives codes"):
        mar().build(Codes(), Vocabulary({}, 8), 8, 0)
    with pytest.raises(UsageError, match="least_hidden must be 0 or more and below 1, not 1"):
        mar(least_hidden=1.0)
