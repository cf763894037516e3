from __future__ import annotations

import pytest
import torch
from torch import nn
from torchmetrics.image.kid import KernelInceptionDistance

from mmgraph.evaluation.statistics import statistic_interval
from mmgraph.metrics import kid
from mmgraph.testing import assert_conforms
from tests.plugins.metrics.sets import generator, given, nothing


def compute(x, y, **options):
    found = kid(**options).compute(given(x), given(y), nothing(x.shape[1]), generator=generator())
    return found["kid"]


def test_conforms():
    assert_conforms("metrics", kid)


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance`")
def test_equals_torchmetrics_but_for_the_pairs_that_belong_together():
    x, y = torch.randn(60, 16), torch.randn(60, 16) + 0.5
    reference = KernelInceptionDistance(nn.Identity(), subsets=1, subset_size=60)
    reference.update(y, real=True)
    reference.update(x, real=False)
    cross = ((x.double() @ y.double().T) / 16 + 1) ** 3
    apart = (cross.sum() - cross.trace()) / (60 * 59)
    expected = float(reference.compute()[0]) + 2 * float(cross.mean() - apart)
    assert compute(x, y).value == pytest.approx(expected, rel=1e-4)


def test_sets_of_different_size_use_all_cross_pairs():
    x, y = torch.randn(7, 3).double(), torch.randn(5, 3).double() + 1

    def k(a, b):
        return float((a @ b / 3 + 1) ** 3)

    within_x = sum(k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j) / 42
    within_y = sum(k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j) / 20
    cross = sum(k(a, b) for a in x for b in y) / 35
    score = compute(x.float(), y.float())
    assert score.value == pytest.approx(within_x + within_y - 2 * cross, rel=1e-5)
    assert score.resampled is None


def test_estimates_the_closed_form_for_gaussians_and_says_how_surely():
    # in one dimension the kernel is sum_p C(3, p) (xy)^p, so the distance compares three moments:
    # N(0, 1) has 0, 1, 0 and N(1, 1) has 1, 2, 4
    expected = 3 * 1**2 + 3 * 1**2 + 1 * 4**2
    values, covered = [], 0
    for run in range(60):
        score = compute(torch.randn(150, 1), torch.randn(150, 1) + 1, num_subsets=2)
        low, high = statistic_interval(score.resampled, list(range(150)), num_resamples=200, seed=run)
        values.append(score.value)
        covered += low < expected < high
    found = torch.tensor(values)
    assert abs(float(found.mean()) - expected) < 3.5 * float(found.std()) / 60**0.5
    assert covered / 60 > 0.75  # sixth powers of a normal variable have heavy tails: fewer than 0.95 at n = 150


def test_tells_the_spread_over_subsets_where_there_are_more_pictures():
    x, y = torch.randn(80, 3), torch.randn(80, 3)
    small, large = compute(x, y, subset_size=20), compute(x, y, subset_size=60)
    assert small.spread > large.spread > 0
    assert compute(x, y, subset_size=80).spread is None


def test_is_unbiased_where_nothing_differs():
    values = torch.tensor([compute(torch.randn(12, 4), torch.randn(12, 4)).value for _ in range(200)])
    assert abs(float(values.mean())) < 3 * float(values.std()) / 200**0.5
    same = torch.randn(30, 8)
    assert compute(same, same).value == pytest.approx(0, abs=1e-9)


def test_a_resample_centres_on_the_value_though_pictures_repeat():
    x = torch.randn(40, 6)
    score = compute(x, x + 0.3 * torch.randn(40, 6))
    counts = torch.multinomial(torch.ones(2000, 40), 40, replacement=True)
    counts = torch.zeros(2000, 40).scatter_add_(1, counts, torch.ones(2000, 40))
    draws = score.resampled(counts)
    assert float(draws.mean()) == pytest.approx(score.value, abs=3 * float(draws.std()) / 2000**0.5 + 0.01)


def test_refuses_empty_subsets():
    with pytest.raises(ValueError, match="at least 2"):
        kid(subset_size=1)
