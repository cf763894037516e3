from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mmgraph.errors import UsageError
from mmgraph.heads import Prepared, next_token
from mmgraph.randomness import SampleRandom
from mmgraph.testing import assert_conforms
from mmgraph.testing.stand_ins import Codes, ScaleCodes, Vectors
from mmgraph.tokenizers import word
from mmgraph.vocabulary import Vocabulary


def built(**options):
    head = next_token(**options)
    head.build(Codes(), Vocabulary({"text": 16}, 8), 8, 0)
    return head


def drawn(logits: torch.Tensor, count: int, temperature: float = 1.0) -> torch.Tensor:
    def run(last: torch.Tensor, time: None) -> torch.Tensor:
        return logits.expand(count, -1)

    random = SampleRandom(0, range(count))
    (first,) = built().sample(run, (count,), num_steps=1, random=random, temperature=temperature)
    return first[:, 0]


def test_contract():
    assert_conforms("heads", next_token)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_is_the_summed_cross_entropy(smoothing):
    head = built(label_smoothing=smoothing)
    hidden = torch.randn(2, 5, 8)
    ids = torch.randint(0, 16, (2, 5))
    mask = torch.rand(2, 5) < 0.6
    total, count = head.loss(hidden, Prepared(ids, ids, mask))
    logits = hidden[mask] @ head._vocabulary[0].output.weight.T
    expected = F.cross_entropy(logits, ids[mask], label_smoothing=smoothing)
    torch.testing.assert_close(total / count, expected)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_softmax(temperature):
    count = 6000
    logits = torch.tensor([0.0, 1.0, -torch.inf, 2.0, -1.0, -torch.inf])
    share = drawn(logits, count, temperature).bincount(minlength=6) / count
    expected = (logits / temperature).softmax(-1)
    spread = (expected * (1 - expected) / count).sqrt()
    assert ((share - expected).abs() <= 4 * spread).all()


def test_temperature_zero_takes_the_most_likely():
    assert set(drawn(torch.tensor([0.0, 3.0, 2.9]), 50, 0.0).tolist()) == {1}


@pytest.mark.parametrize("draw", [0.0, 1 - 2**-24])
def test_the_ends_of_the_range_draw_nothing_forbidden(monkeypatch, draw):
    # a uniform draw may be exactly 0, and rounding may carry one just below 1 to the end
    monkeypatch.setattr(SampleRandom, "uniform", lambda self, *shape: torch.full((len(self), *shape), draw))
    for values in (torch.zeros(1, 40), torch.linspace(-3, 3, 40)[None]):
        logits = F.pad(values, (7, 9), value=-torch.inf)
        assert 7 <= int(drawn(logits, 1)) < 47


def test_each_draw_reads_the_last():
    seen = []

    def run(last: torch.Tensor, time: None) -> torch.Tensor:
        seen.append(last.clone())
        following = last[:, -1] + 1 if last.numel() else torch.zeros(2, dtype=torch.long)
        return F.one_hot(following, 20) * 50.0

    *_, last = built().sample(run, (2,), num_steps=4, random=SampleRandom(0, [0, 1]))
    assert last.tolist() == [[0, 1, 2, 3]] * 2
    assert seen[0].shape == (2, 0)
    assert seen[3].tolist() == [[2], [2]]


def test_vectors_are_refused():
    with pytest.raises(UsageError, match="next_token head models codes, but Vectors gives vectors"):
        next_token().build(Vectors(), Vocabulary({}, 8), 8, 0)


class TestOrder:
    def wide(self):
        return type("Wide", (Codes,), {"num_tokens": 12, "grid": (3, 4)})()

    def built(self, order: str, seed: int = 0):
        torch.manual_seed(0)
        head = next_token(order=order, order_seed=seed)
        head.build(self.wide(), Vocabulary({"image": 16}, 8), 8, 0)
        return head

    def test_by_hand(self):
        assert self.built("raster").places(12) is None
        assert self.built("reversed").places(12).tolist() == list(range(11, -1, -1))
        assert self.built("spiral").places(12).tolist() == [0, 1, 2, 3, 7, 11, 10, 9, 8, 4, 5, 6]
        assert self.built("random").places(12).sort().values.tolist() == list(range(12))

    def test_the_seed_decides_the_random_order(self):
        first, again, other = (self.built("random", seed).places(12) for seed in (0, 0, 1))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)

    @pytest.mark.parametrize("order", ["reversed", "spiral", "random"])
    def test_the_likelihood_is_the_same_product_with_its_factors_permuted(self, order):
        """A body whose states depend on the true place only: each factor is that of raster order, elsewhere."""
        raster, head = self.built("raster"), self.built(order)
        states, tokens = torch.randn(2, 12, 8), torch.randint(12, 28, (2, 12))
        given = head.places(12)
        plain = raster.prepare(tokens, random=SampleRandom(0, (0, 1)))
        prepared = head.prepare(tokens, random=SampleRandom(0, (0, 1)))
        assert torch.equal(prepared.inputs, tokens[:, given])
        torch.testing.assert_close(head.loss(states[:, given], prepared)[0], raster.loss(states, plain)[0])
        for number, place in enumerate(given.tolist()):
            prepared.score_mask = torch.arange(12).expand(2, 12) == number
            plain.score_mask = torch.arange(12).expand(2, 12) == place
            torch.testing.assert_close(head.loss(states[:, given], prepared)[0], raster.loss(states, plain)[0])

    @pytest.mark.parametrize("order", ["raster", "reversed", "spiral", "random"])
    def test_what_is_drawn_comes_back_by_place(self, order):
        head = self.built(order)
        tokens = torch.arange(12)[None] + 100
        prepared = head.prepare(tokens, random=SampleRandom(0, [0]))
        for k in (1, 5, 12):
            assert head.arrange(prepared.inputs[:, :k]).tolist() == [sorted(prepared.inputs[0, :k].tolist())]

    @pytest.mark.parametrize("order", ["raster", "reversed", "spiral", "random"])
    def test_contract(self, order):
        assert_conforms("heads", next_token, lambda: next_token(order=order))

    def test_texts_and_scales_have_no_other_order(self):
        for tokenizer in (word(), ScaleCodes()):
            with pytest.raises(UsageError, match="the order 'spiral' of the next_token head is one on a grid"):
                next_token(order="spiral").build(tokenizer, Vocabulary({}, 8), 8, 0)
