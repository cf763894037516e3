from __future__ import annotations

import pytest
import torch

from mmgraph.metrics import diversity
from mmgraph.testing import assert_conforms
from tests.plugins.metrics.sets import generator, given, nothing


def compute(drawn, true):
    return diversity().compute(given(drawn), given(true), nothing(true.shape[1]), generator=generator())


def test_conforms():
    assert_conforms("metrics", diversity)


def test_equals_the_ratio_of_mean_distances():
    drawn, true = torch.randn(20, 5), 3 * torch.randn(30, 5)
    expected = torch.pdist(drawn).mean() / torch.pdist(true).mean()
    assert compute(drawn, true)["diversity"].value == pytest.approx(float(expected), rel=1e-5)


def test_scaling_scales_and_collapse_is_zero():
    true = torch.randn(25, 6)
    assert compute(2 * true + 1, true)["diversity"].value == pytest.approx(2, rel=1e-5)
    assert compute(true[:1].expand(25, 6), true)["diversity"].value == 0


def test_undefined_where_the_true_pictures_are_all_one():
    assert compute(torch.randn(4, 3), torch.ones(4, 3)) == {}


def test_repeating_a_picture_is_not_counted_as_a_collapse():
    true = torch.randn(10, 4)
    score = compute(1.5 * true, true)["diversity"]
    counts = torch.tensor([[2, 0, 1, 1, 1, 1, 1, 1, 1, 1], [5, 5, 0, 0, 0, 0, 0, 0, 0, 0]])
    assert score.resampled(counts).tolist() == pytest.approx([1.5, 1.5])
