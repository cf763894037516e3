"""Paths into metrics.json."""

from __future__ import annotations

import pytest

from mmgraph.errors import UsageError
from mmgraph.evaluation.studies import measures


@pytest.fixture
def metrics(metrics_and_examples):
    losses = {"draw": {"image": {"value": 2.0, "n": 3, "ci95": [1.0, 3.0], "by_time": {"0.5": 1.5}}}}
    return {**metrics_and_examples[0], "losses": losses}


def test_numbers_and_scores(metrics):
    assert measures.lookup(metrics, "understanding.name.accuracy") == {
        "value": 0.25, "n": 8, "ci95": [0.1, 0.4], "chance": 0.01, "majority": None,
        "better": "higher",
    }  # fmt: skip
    kinds = {"name": {"accuracy": 0.5, "n": 2, "chance": 0.1, "majority": 0.3, "ci95": [0.0, 1.0]}}
    assert measures.lookup({"understanding": kinds}, "understanding.name")["majority"] == 0.3
    assert measures.lookup(metrics, "understanding.name") == measures.lookup(metrics, "understanding.name.accuracy")
    found = measures.lookup(metrics, "generation.unseen.recall_at_1")
    assert found["value"] == 0.5
    assert found["better"] == "higher"
    assert measures.lookup(metrics, "losses.draw.image")["better"] == "lower"
    assert measures.lookup(metrics, "losses.draw.image.by_time.0.5")["value"] == 1.5
    assert measures.lookup(metrics, "training.cpu_seconds")["value"] == 400.5
    assert measures.lookup(metrics, "understanding.name.chance")["ci95"] is None, "the interval is the accuracy's"
    for path in ("understanding.nobody.accuracy", "generation", "training.tokens_per_second", "versions.python"):
        assert measures.lookup(metrics, path) is None


def test_what_a_study_measures_by_itself(metrics):
    assert measures.headline(metrics) == [
        "understanding.name.accuracy",
        "generation.trained.recall_at_1",
        "generation.unseen.recall_at_1",
        "losses.draw.image",
    ]


def test_a_task_that_gives_more_than_a_caption(metrics):
    scores = metrics["generation"]["unseen"]
    asked = {**metrics, "drawing": {"move": {"unseen": scores}}}
    assert "drawing.move.unseen.recall_at_1" in measures.available(asked)
    assert "drawing.move.unseen.recall_at_1" in measures.headline(asked)
    found = measures.lookup(asked, "drawing.move.unseen.recall_at_1")
    assert (found["value"], found["better"]) == (0.5, "higher")


def test_an_autoencoder_is_measured_by_what_comes_back(metrics):
    score = metrics["reconstruction"]["unseen"]["recall_at_1"]
    back = {"recall_at_1": score, "perplexity": score, "psnr": score}
    alone = {**metrics, "generation": {}, "understanding": {}, "losses": {}, "reconstruction": {"unseen": back}}
    assert measures.headline(alone) == ["reconstruction.unseen.recall_at_1", "reconstruction.unseen.perplexity"]


def test_an_unknown_measure_is_refused_with_the_nearest(metrics):
    measures.check(["generation.unseen.kid", "graph.node.accuracy", "drawing.move.unseen.oracle_shade"])
    for path in ("drawing.move", "drawing.unseen.oracle_shade", "drawing.move.test.oracle_shade"):
        with pytest.raises(UsageError, match=r"drawing\.TASK\.unseen\.NAME"):
            measures.check([path])
    with pytest.raises(UsageError, match="Did you mean 'understanding'"):
        measures.check(["understandign.name.accuracy"])
    with pytest.raises(UsageError, match="Did you mean 'trained'"):
        measures.check(["generation.train.kid"])
    with pytest.raises(UsageError, match=r"Did you mean 'generation\.unseen\.recall_at_1'"):
        measures.check_found(["generation.unseen.recall_at1"], [metrics])
    poorer = {**metrics, "understanding": {}}
    measures.check_found(["understanding.name.accuracy"], [poorer, metrics])  # a specialist may lack it
