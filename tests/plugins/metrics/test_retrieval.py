from __future__ import annotations

import pytest
import torch
from torchmetrics.retrieval import RetrievalHitRate

from mmgraph.metrics import retrieval
from mmgraph.testing import assert_conforms
from tests.plugins.metrics.sets import generator, given, nothing


def compute(drawn, true, train=None, **options):
    train = nothing(true.features.shape[1]) if train is None else train
    return retrieval(**options).compute(drawn, true, train, generator=generator())


def test_conforms():
    assert_conforms("metrics", retrieval)


def test_equals_the_hit_rate_of_torchmetrics():
    true = torch.randn(150, 12)
    drawn = true + 1.2 * torch.randn(150, 12)
    scores = compute(given(drawn), given(true))
    similarity = torch.nn.functional.cosine_similarity(drawn[:, None], true[None], dim=-1)
    queries = torch.arange(150)[:, None].expand(150, 150)
    for k in (1, 10):
        reference = RetrievalHitRate(top_k=k)(
            similarity.flatten(), torch.eye(150, dtype=torch.long).flatten(), indexes=queries.flatten()
        )
        score = scores[f"recall_at_{k}"]
        assert score.value == pytest.approx(float(reference))
        assert 0.1 < score.value < 0.99
        assert (score.n, score.candidates, score.chance) == (150, 150, k / 150)


def test_one_and_the_same_drawing_reaches_exactly_chance():
    scores = compute(given(torch.ones(150, 8)), given(torch.randn(150, 8)))
    assert scores["recall_at_1"].value == pytest.approx(1 / 150)
    assert scores["recall_at_10"].value == pytest.approx(10 / 150)


def test_the_true_pictures_reach_one():
    true = given(torch.randn(40, 8))
    assert compute(true, true)["recall_at_1"].value == 1.0


def test_fills_up_to_exactly_150_with_training_pictures_at_even_distances():
    features = torch.randn(500, 8)
    true = given(features[:60])
    train = given(features[60:], numbers=torch.arange(1000, 1440))
    metric = retrieval()
    assert compute(true, true, train)["recall_at_10"].candidates == 150
    filled = metric._fill(true, train)
    assert len(filled) == len(set(filled)) == 90
    assert (filled[0], filled[-1]) == (0, 440 * 89 // 90)
    assert filled == metric._fill(true, train)


def test_a_training_picture_nearer_than_the_true_one_counts_as_wrong():
    true = given(torch.tensor([[1.0, 0.1], [0.0, 1.0]]))
    train = given(torch.tensor([[1.0, 0.0]]), numbers=torch.tensor([99]))
    drawn = given(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    assert compute(drawn, true, train)["recall_at_1"].value == 0.5


def test_tells_truly_how_few_candidates_there_were():
    true = given(torch.randn(20, 8))
    scores = compute(true, true, given(torch.randn(5, 8), numbers=torch.arange(300, 305)))
    assert scores["recall_at_10"].candidates == 25
    assert scores["recall_at_10"].chance == 10 / 25
    assert compute(given(torch.randn(1, 8)), given(torch.randn(1, 8))) == {}


def test_identical_pictures_are_right_answers_and_not_filled_in_twice():
    features = torch.randn(30, 8)
    features[7] = features[3]
    numbers = torch.arange(30)
    numbers[7] = 3
    true = given(features, numbers=numbers)
    assert compute(true, true)["recall_at_1"].value == 1.0
    same = given(features[:6], numbers=torch.arange(6))
    assert compute(true, true, same)["recall_at_1"].candidates == 30


def test_ties_count_against_the_drawing():
    true = given(torch.ones(12, 4))
    rank, _ = retrieval().ranks(given(torch.ones(12, 4)), true, nothing(4))
    assert rank.tolist() == [12] * 12


def test_more_true_pictures_than_candidates_give_each_its_own_window():
    true = torch.randn(200, 8)
    scores = compute(given(torch.ones(200, 8)), given(true))
    assert scores["recall_at_10"].candidates == 150
    similarity = torch.nn.functional.normalize(true, dim=1).sum(1)
    window = (torch.arange(200)[:, None] + torch.arange(150)) % 200
    reference = (similarity[window] >= similarity[:, None]).sum(1) <= 10
    assert scores["recall_at_10"].value == pytest.approx(float(reference.float().mean()))


def test_refuses_fewer_than_two_candidates():
    with pytest.raises(ValueError, match="at least 2"):
        retrieval(1)
