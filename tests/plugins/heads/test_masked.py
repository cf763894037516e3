from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from mmgraph.errors import UsageError
from mmgraph.heads import masked
from mmgraph.randomness import SampleRandom
from mmgraph.testing import assert_conforms
from mmgraph.testing.stand_ins import Codes, Vectors
from mmgraph.tokenizers import word
from mmgraph.vocabulary import MASK, Vocabulary


def built(**options):
    head = masked(**options)
    head.build(Codes(), Vocabulary({"image": 16}, 8), 8, 0)
    return head


def test_contract():
    assert_conforms("heads", masked)
    assert_conforms("heads", masked, lambda: masked(0.1, choice_temperature=0.0))


class TestPrepare:
    def test_the_share_hidden_is_a_cosine_of_a_uniform(self):
        rows, n = 4000, 64
        prepared = masked().prepare(torch.full((rows, n), 9), random=SampleRandom(0, range(rows)))
        share = prepared.score_mask.float().mean(1)
        assert float(share.min()) >= 1 / n
        assert float(share.mean()) == pytest.approx(2 / math.pi, abs=0.02)
        # P(cos(pi u / 2) <= r) = 1 - 2 acos(r) / pi
        for r in (0.25, 0.5, 0.75):
            expected = 1 - 2 * math.acos(r) / math.pi
            assert float((share <= r).float().mean()) == pytest.approx(expected, abs=0.03)

    def test_only_what_is_hidden_is_masked_and_scored(self):
        tokens = torch.randint(20, 30, (5, 12))
        prepared = masked().prepare(tokens, random=SampleRandom(0, range(5)))
        assert torch.equal(prepared.inputs == MASK, prepared.score_mask)
        assert torch.equal(prepared.inputs[~prepared.score_mask], tokens[~prepared.score_mask])
        assert torch.equal(prepared.targets, tokens)
        # every place is hidden in some row or other
        many = masked().prepare(torch.full((200, 12), 9), random=SampleRandom(0, range(200)))
        assert bool(many.score_mask.any(0).all())


def test_loss_is_the_cross_entropy_of_the_hidden_only():
    head = built()
    tokens, hidden = torch.randint(12, 28, (3, 4)), torch.randn(3, 4, 8)
    prepared = head.prepare(tokens, random=SampleRandom(0, range(3)))
    total, count = head.loss(hidden, prepared)
    log_p = (hidden @ head._vocabulary[0].output.weight.T).log_softmax(-1).detach()
    expected = -sum(
        float(log_p[row, place, tokens[row, place]])
        for row in range(3)
        for place in range(4)
        if prepared.inputs[row, place] == MASK
    )
    assert float(total.detach()) == pytest.approx(expected, rel=1e-5)
    assert int(count) == int((prepared.inputs == MASK).sum())


class TestSample:
    def seen(self, num_steps: int, n: int = 16, temperature: float = 1.0):
        read = []

        def run(ids: torch.Tensor, time: None) -> torch.Tensor:
            read.append(ids.clone())
            return F.one_hot(torch.arange(n) + 10, 40).float().expand(len(ids), n, 40) * 30

        steps = masked().sample(
            run, (2, n), num_steps=num_steps, random=SampleRandom(0, (0, 1)), temperature=temperature
        )
        return read, list(steps)

    @pytest.mark.parametrize("num_steps", [1, 3, 8])
    def test_as_many_stay_hidden_as_the_cosine_says(self, num_steps):
        read, steps = self.seen(num_steps)
        left = [int((ids == MASK).sum(1).unique()) for ids in read]
        assert left == [math.floor(16 * math.cos(math.pi / 2 * k / num_steps)) for k in range(num_steps)]
        assert len(steps) == num_steps

    def test_every_step_fills_every_place(self):
        for filled in self.seen(5)[1]:
            assert filled.tolist() == [list(range(10, 26))] * 2

    def test_each_step_fills_one_place_at_least(self):
        read, steps = self.seen(100)
        assert len(steps) <= 16
        left = [int((ids[0] == MASK).sum()) for ids in read]
        assert all(later < earlier for earlier, later in pairwise(left))

    def test_what_is_kept_is_read_again_and_never_changes(self):
        def run(ids: torch.Tensor, time: None) -> torch.Tensor:
            kept.append(ids.clone())
            return torch.zeros(2, 12, 30).index_fill(2, torch.arange(9), -torch.inf)

        kept: list[torch.Tensor] = []
        *_, last = masked().sample(run, (2, 12), num_steps=6, random=SampleRandom(0, (0, 1)))
        for ids in kept:
            assert torch.equal(ids[ids != MASK], last[ids != MASK])
        assert bool((last >= 9).all())

    def test_one_place_at_a_time_in_random_order_draws_the_joint_distribution(self):
        joint = torch.tensor([[0.4, 0.1], [0.05, 0.45]])
        rows = 20_000

        def run(ids: torch.Tensor, time: None) -> torch.Tensor:
            p = torch.zeros(rows, 2, 2)
            for place, table in ((0, joint), (1, joint.T)):
                other = ids[:, 1 - place]
                known = (table / table.sum(0))[:, (other - 10).clamp(0, 1)].T  # (rows, 2) given the other
                p[:, place] = torch.where((other == MASK)[:, None], table.sum(1), known)
            return F.pad(p.log(), (10, 0), value=-torch.inf)

        head = masked(choice_temperature=1e6)  # the order then does not depend on what is drawn
        *_, last = head.sample(run, (rows, 2), num_steps=2, random=SampleRandom(0, range(rows)))
        found = ((last[:, 0] - 10) * 2 + last[:, 1] - 10).bincount(minlength=4) / rows
        spread = (joint.flatten() * (1 - joint.flatten()) / rows).sqrt()
        assert ((found - joint.flatten()).abs() <= 4 * spread).all()

    def test_without_chance_the_most_confident_stay(self):
        def run(ids: torch.Tensor, time: None) -> torch.Tensor:
            read.append(ids.clone())
            logits = torch.zeros(1, 4, 20)
            logits[0, torch.arange(4), 10] = torch.tensor([1.0, 4.0, 2.0, 3.0])
            return logits

        read: list[torch.Tensor] = []
        head = masked(choice_temperature=0.0)
        list(head.sample(run, (1, 4), num_steps=4, random=SampleRandom(0, [0]), temperature=0.0))
        assert [(ids[0] == MASK).tolist() for ids in read[:2]] == [[True] * 4, [True, False, True, True]]


def test_refusals():
    with pytest.raises(UsageError, match="masked head models codes, but Vectors gives vectors"):
        masked().build(Vectors(), Vocabulary({}, 8), 8, 0)
    with pytest.raises(UsageError, match="texts of WordTokenizer have any length"):
        masked().build(word(), Vocabulary({}, 8), 8, 0)
