from __future__ import annotations

import math

import pytest
import torch

from mmgraph.metrics import PictureSet, copying
from mmgraph.testing import assert_conforms
from tests.plugins.metrics.sets import generator


def pictures(count, seed):
    g = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 4, 4), dtype=torch.uint8, generator=g)


def flat(shown):
    return shown.flatten(1).float()[:, ::5]


def compute(drawn, true, train):
    sets = [PictureSet(shown, flat) for shown in (drawn, true, train)]
    return copying().compute(*sets, generator=generator())


def test_conforms():
    assert_conforms("metrics", copying)


def test_equals_the_definition_by_loops():
    drawn, true, train = pictures(6, 0), pictures(6, 1), pictures(20, 2)
    scores = compute(drawn, true, train)
    for space, view in (("pixels", lambda p: p.flatten(1).float() / 255), ("features", flat)):

        def nearest(points, view=view):
            return [min(math.dist(a, b) for b in view(train)) for a in view(points)]

        expected = sum(nearest(drawn)) / sum(nearest(true))
        assert scores[f"training_distance_{space}"].value == pytest.approx(expected, rel=1e-5)


def test_copies_of_training_pictures_have_distance_zero():
    train = pictures(300, 2)
    scores = compute(train[40:46], pictures(6, 1), train)
    assert [score.value for score in scores.values()] == [0.0, 0.0]


def test_unseen_true_pictures_have_distance_one():
    true = pictures(6, 1)
    for score in compute(true, true, pictures(20, 2)).values():
        assert score.value == pytest.approx(1)


def test_below_the_line_a_trained_picture_is_measured_to_the_others():
    train = pictures(20, 2)
    true = train[:5]
    drawn = pictures(5, 3)
    with_copy = compute(drawn, true, torch.cat([train, true]))
    assert with_copy["training_distance_pixels"].value == pytest.approx(
        compute(drawn, true, train)["training_distance_pixels"].value
    )
    expected = [
        min(math.dist(a.flatten() / 255, b.flatten() / 255) for j, b in enumerate(train) if j != i)
        for i, a in enumerate(true)
    ]
    nearest = [min(math.dist(a.flatten() / 255, b.flatten() / 255) for b in train) for a in drawn]
    value = compute(drawn, true, train)["training_distance_pixels"].value
    assert value == pytest.approx(sum(nearest) / sum(expected), rel=1e-5)


def test_left_out_without_training_pictures_other_than_the_true_ones():
    true = pictures(3, 1)
    assert compute(true, true, true[:0]) == {}
    assert compute(true[:1], true[:1], true[:1]) == {}
