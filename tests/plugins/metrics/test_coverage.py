from __future__ import annotations

import math

import pytest
import torch

from mmgraph.metrics import coverage
from mmgraph.testing import assert_conforms
from tests.plugins.metrics.sets import generator, given, nothing


def compute(drawn, true, k=5):
    return coverage(k).compute(given(drawn), given(true), nothing(true.shape[1]), generator=generator())


def test_conforms():
    assert_conforms("metrics", coverage)


def test_equals_the_definition_by_loops():
    drawn, true, k = torch.randn(9, 2), torch.randn(11, 2), 3
    inside = []
    for i, centre in enumerate(true):
        others = sorted(math.dist(centre, other) for j, other in enumerate(true) if j != i)
        inside.append([math.dist(centre, point) <= others[k - 1] for point in drawn])
    scores = compute(drawn, true, k)
    assert scores["density"].value == pytest.approx(sum(map(sum, inside)) / (k * 9))
    assert scores["coverage"].value == pytest.approx(sum(any(row) for row in inside) / 11)


def test_equals_the_expectation_for_two_samples_of_one_distribution():
    # a ball to the k-th of m - 1 neighbours misses all n drawings with probability prod (m - i) / (m + n - i)
    m = n = 40
    expected = 1 - math.prod((m - i) / (m + n - i) for i in range(1, 6))
    runs = [compute(torch.randn(n, 4), torch.randn(m, 4)) for _ in range(80)]
    for name, target in (("coverage", expected), ("density", 1.0)):
        values = torch.tensor([run[name].value for run in runs])
        assert abs(float(values.mean()) - target) < 3.5 * float(values.std()) / 80**0.5


def test_collapse_and_novelty_show():
    true = torch.randn(60, 4)
    centre = compute(true[:1].expand(60, 4), true)
    assert centre["coverage"].value < 0.3
    assert compute(true + 50, true)["density"].value == 0
    assert compute(true, true)["coverage"].value == 1


def test_undefined_with_too_few_true_pictures():
    assert compute(torch.randn(5, 2), torch.randn(5, 2)) == {}
    with pytest.raises(ValueError, match="at least 1"):
        coverage(0)
