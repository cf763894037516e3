"""Drawings marked by the truth behind their captions."""

from __future__ import annotations

import pytest
import torch

from mmgraph.datasets import shapes
from mmgraph.evaluation import drawing, measuring, oracle
from mmgraph.evaluation.drawing import Drawings
from mmgraph.evaluation.examples import captions, stack
from tests.evaluation.world import Squares

DATA = {"image_size": 16, "num_scenes": 60, "tasks": {"draw": 1.0}, "evaluation_scenes": 12}


@pytest.fixture(scope="module")
def dataset():
    return shapes(8, **DATA)


def test_true_pictures_are_right_and_others_are_not(dataset):
    chosen = captions(dataset, "test", 8)
    true = stack(chosen, "the captions")
    drawings = Drawings(chosen, true, reconstructed=true // 2 + 64)
    rows = oracle.score(drawings, captions(dataset, "train", 20), dataset=dataset)
    assert {"oracle_count", "oracle_colour", "oracle_shape", "oracle_size", "oracle_place", "oracle_all"} <= set(rows)
    for row in rows.values():
        assert row["value"] == row["baselines"]["real"] == 1.0
        assert {"nearest_caption", "reconstruction"} <= set(row["baselines"])
    assert rows["oracle_all"]["chance"] < 0.2  # the true picture of another caption
    assert rows["oracle_all"]["n"] == len(chosen)
    assert drawings.per_picture["oracle_all"].tolist() == [1.0] * len(chosen)
    several = sum(len(dataset.scenes[item].things) > 1 for item in oracle.items(dataset, chosen))
    assert 0 < rows["oracle_relation"]["n"] == several < len(chosen)  # of scenes that have one
    assert "oracle_relation" not in drawings.per_picture


def test_a_wrong_drawing_counts_once(dataset):
    chosen = captions(dataset, "test", 5)
    drawn = stack(chosen, "the captions").clone()
    drawn[2] = 255
    rows = oracle.score(Drawings(chosen, drawn), [], dataset=dataset)
    assert rows["oracle_all"]["value"] == pytest.approx(4 / 5)
    assert rows["oracle_all"]["ci95"][0] < 4 / 5 < rows["oracle_all"]["ci95"][1]
    assert set(rows["oracle_all"]["baselines"]) == {"real"}
    alone = oracle.score(Drawings(chosen[:1], drawn[:1]), [], dataset=dataset)
    assert alone["oracle_all"]["chance"] is None


def test_a_data_set_that_cannot_tell_has_none():
    world = Squares()
    chosen = captions(world, "test", 3)
    assert oracle.items(world, chosen) == []
    assert oracle.score(Drawings(chosen, stack(chosen, "these")), [], dataset=world) == {}


def test_an_evaluation_marks_what_a_model_draws(dataset, monkeypatch):
    """Both populations: trained captions are looked for among the training scenes."""
    chosen = {"trained": captions(dataset, "train", 4), "unseen": captions(dataset, "test", 4)}
    monkeypatch.setattr(drawing, "draw", lambda model, asked, **options: Drawings(asked, stack(asked, "these")))
    asked = {"trained": [], "unseen": []}
    material = measuring.Material(
        object(), dataset, "test", chosen, asked, chosen["trained"], [], [], None, None, None, 0, lambda line: None
    )
    found = measuring.measure(material).generation
    assert found["trained"]["oracle_all"]["value"] == found["unseen"]["oracle_all"]["value"] == 1.0
    labels = oracle.meanings(found["unseen"])
    assert labels["oracle_all"].headline
    assert labels["oracle_colour"].label == "Oracle: colour"


def test_reading_is_by_item(dataset):
    items = list(dataset.items("test"))[:3]
    shown = torch.stack([dataset.picture(item) for item in items])
    assert oracle.read(dataset, items, shown)["oracle_all"].tolist() == [1.0] * 3
    assert oracle.read(dataset, items, shown.roll(1, 0))["oracle_all"].sum() < 3
