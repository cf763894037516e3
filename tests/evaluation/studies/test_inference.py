"""The statistics against scipy or arithmetic by hand."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from mmgraph.evaluation.studies import inference

stats = pytest.importorskip("scipy.stats")

VALUES = [0.31, 0.42, 0.35, 0.5, 0.28]


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 30])
def test_student(freedom):
    for t in (0.05, 0.7, 2.3, 12.0):
        assert inference.t_probability(t, freedom) == pytest.approx(1 - 2 * stats.t.sf(t, freedom), abs=1e-12)
    for level in (0.8, 0.95, 0.99):
        expected = stats.t.ppf((1 + level) / 2, freedom)
        assert inference.t_quantile(freedom, level) == pytest.approx(expected, rel=1e-9)


def test_interval_and_test_of_a_mean():
    low, high = stats.t.interval(0.95, 4, loc=sum(VALUES) / 5, scale=stats.sem(VALUES))
    assert inference.t_interval(VALUES) == pytest.approx((low, high))
    assert inference.t_test(VALUES) == pytest.approx(stats.ttest_1samp(VALUES, 0).pvalue)
    assert inference.t_interval([0.3]) is None
    assert inference.t_test([0.3, 0.3]) is None


def test_sign_flips_are_exact():
    values = [0.2, -0.1, 0.3, 0.15]
    reached = sum(abs(sum(s * v for s, v in zip(signs, values, strict=True))) >= 0.55 - 1e-12
                  for signs in itertools.product((1, -1), repeat=4))  # fmt: skip
    assert inference.sign_flips(values) == reached / 16
    assert inference.sign_flips(VALUES) == 2 / 2**5, "five seeds of one sign: the least there is"
    assert inference.sign_flips([0.0, 0.0]) == 1


def test_many_sign_flips_agree_with_the_exact_test():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(18, generator=generator) + 0.4
    signs = (torch.arange(2**18)[:, None] >> torch.arange(18) & 1) * 2.0 - 1
    exact = float(((signs @ values).abs() >= values.sum().abs() - 1e-5).double().mean())
    assert 0.001 < exact < 0.5
    assert inference.sign_flips(values.tolist()) == pytest.approx(exact, abs=0.01)


def test_holm():
    found = inference.holm([0.01, None, 0.04, 0.03, 0.9])
    assert found == pytest.approx([0.04, None, 0.09, 0.09, 0.9])


def test_bootstrap_over_seeds_and_items_covers_both_variances():
    generator = torch.Generator().manual_seed(1)
    seeds, items = torch.randn(12, 1, generator=generator), torch.randn(1, 80, generator=generator)
    low, high = inference.crossed_interval(1 + seeds * 0.2 + items, list(range(80)), num_resamples=4000)
    deviation = math.sqrt(0.04 * float(seeds.var(correction=0)) / 12 + float(items.var(correction=0)) / 80)
    assert (high - low) / (2 * 1.96) == pytest.approx(deviation, rel=0.1)
    assert (low + high) / 2 == pytest.approx(float(1 + 0.2 * seeds.mean() + items.mean()), abs=0.03)


def test_items_of_one_concept_are_resampled_together():
    values = torch.arange(8).repeat_interleave(10)[None].double().expand(2, -1)
    apart = inference.crossed_interval(values, list(range(80)))
    together = inference.crossed_interval(values, [place // 10 for place in range(80)])
    assert together[1] - together[0] > 2 * (apart[1] - apart[0])
