from __future__ import annotations

import copy
import json

import pytest

from mmgraph.errors import RunError
from mmgraph.evaluation import schema


@pytest.fixture
def metrics(metrics_and_examples):
    return copy.deepcopy(metrics_and_examples[0])


def test_what_an_evaluation_writes_fits(metrics, tmp_path):
    schema.check(metrics)
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(metrics))
    assert schema.read(path) == metrics
    schema.check({**metrics, "drawing": {"move": metrics["generation"]}})


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("training", "seconds"), float("nan"), r"metrics\.training\.seconds"),
        (("training", "seconds"), "soon", r"metrics\.training\.seconds is str 'soon'"),
        (("understanding", "name", "n"), True, r"understanding\.name\.n is a bool"),
        (("understanding", "name", "accuracy"), None, r"understanding\.name\.accuracy"),
        (("generation", "trained", "recall_at_1", "ci95"), [0.1, None], r"recall_at_1\.ci95"),
        (("generation", "sometimes"), {}, r"generation\.sometimes is not known"),
        (("drawing",), {"move": {"sometimes": {}}}, r"drawing\.move\.sometimes is not known"),
        (("tokenizers", 0, "tokens"), 1.5, r"tokenizers\[0\]\.tokens"),
        (("data",), [], r"metrics\.data is list"),
    ],
)
def test_what_does_not_fit_is_named(metrics, where, value, message):
    place = metrics
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    with pytest.raises(RunError, match=message):
        schema.check(metrics)


def test_a_missing_field_is_named_and_an_optional_one_is_not_missed(metrics):
    del metrics["training"]["command"]
    schema.check(metrics)
    del metrics["hardware"]["cpu"]
    with pytest.raises(RunError, match=r"metrics\.hardware\.cpu is missing"):
        schema.check(metrics)


def test_another_version_is_told_apart_from_damage(metrics, tmp_path):
    metrics["schema"] = 99
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(RunError, match="has schema 99, this version reads 1"):
        schema.read(tmp_path / "metrics.json")
