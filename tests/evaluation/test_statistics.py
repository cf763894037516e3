from __future__ import annotations

import pytest
import torch

from mmgraph.errors import UsageError
from mmgraph.evaluation.statistics import (
    mean_interval,
    paired_difference,
    percentile,
    resample,
    statistic_interval,
)


def test_intervals_of_gaussian_means_cover_as_often_as_they_say():
    n, trials = 60, 300
    values = torch.randn(trials, n) * 2 + 5
    intervals = [mean_interval(row, seed=trial) for trial, row in enumerate(values)]
    covered = sum(low < 5 < high for low, high in intervals) / trials
    assert 0.91 < covered < 0.975  # 0.95 less the known loss of percentile intervals at n = 60; +- 3 errors
    widths = torch.tensor([high - low for low, high in intervals])
    assert float(widths.mean()) == pytest.approx(2 * 1.96 * 2 / n**0.5, rel=0.03)


def test_the_same_seed_gives_the_same_interval_and_another_gives_another():
    values = torch.randn(30)
    assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
    assert mean_interval(values, seed=1) != mean_interval(values, seed=2)


def test_repeating_every_observation_within_its_cluster_adds_no_certainty():
    values = torch.randn(40)
    alone = mean_interval(values)
    repeated = values.repeat_interleave(9)
    clusters = torch.arange(40).repeat_interleave(9).tolist()
    assert mean_interval(repeated, clusters) == pytest.approx(alone)
    low, high = mean_interval(repeated)
    assert high - low == pytest.approx((alone[1] - alone[0]) / 3, rel=0.15)


def test_clusters_of_unequal_size_weigh_by_their_observations():
    counts = resample(["a", "b", "b", "b"], 500)
    assert torch.equal(counts[:, 1], counts[:, 3])
    assert bool((counts[:, 0] + counts[:, 1] == 2).all())
    low, high = mean_interval(torch.tensor([1.0, 0.0, 0.0, 0.0]), ["a", "b", "b", "b"])
    assert (low, high) == (0.0, 1.0)


def test_all_right_or_all_wrong_gets_the_exact_binomial_bound():
    bound = 0.025 ** (1 / 50)
    assert mean_interval(torch.ones(50)) == pytest.approx((bound, 1))
    assert mean_interval(torch.zeros(50)) == pytest.approx((0, 1 - bound))
    assert mean_interval(torch.zeros(100), [n // 2 for n in range(100)]) == pytest.approx((0, 1 - bound))
    assert mean_interval(torch.full((9,), 2.5)) == (2.5, 2.5)


def test_a_statistic_of_counts_gives_the_interval_of_the_mean():
    values = torch.randn(35).double()
    names = [str(n) for n in range(35)]
    found = statistic_interval(lambda counts: counts.double() @ values / counts.sum(1), names, seed=3)
    assert found == pytest.approx(mean_interval(values, names, seed=3))


def test_pairing_removes_what_both_share():
    shared, gain = 10 * torch.randn(50), 0.2
    left, right = shared + gain + 0.1 * torch.randn(50), shared + 0.1 * torch.randn(50)
    difference, (low, high) = paired_difference(left, right)
    assert difference == pytest.approx(float((left - right).mean()), abs=1e-5)
    assert low > 0
    assert high - low < 0.1


def test_values_that_are_not_finite_are_left_out():
    assert percentile(torch.tensor([float("nan"), 1.0, 1.0, float("inf")])) == (1.0, 1.0)
    assert percentile(torch.tensor([float("nan")]))[0] != percentile(torch.tensor([float("nan")]))[0]


def test_refuses_nothing_and_what_does_not_fit():
    with pytest.raises(UsageError, match="nothing to resample"):
        resample([])
    with pytest.raises(UsageError, match="3 values cannot be clustered by 2"):
        mean_interval(torch.ones(3), ["a", "b"])
    with pytest.raises(UsageError, match="got 3 and 2"):
        paired_difference(torch.ones(3), torch.ones(2))
