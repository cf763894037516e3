from __future__ import annotations

import importlib.util
from collections import Counter

import pytest
from mmgraph_datasets.easy_vqa import CHOICES, kind_of

from mmgraph.datasets import easy_vqa
from mmgraph.errors import UsageError
from mmgraph.testing import assert_conforms


@pytest.fixture(scope="module")
def data():
    return easy_vqa(image_size=16)


def test_conforms():
    assert_conforms("datasets", easy_vqa, make=lambda: easy_vqa(4, image_size=8, limit=60, evaluated=12))


def test_the_published_counts_and_division(data):
    sizes = {split: len(data.items(split)) for split in ("train", "val", "test")}
    assert sizes["train"] + sizes["val"] == 4000
    assert 150 < sizes["val"] < 250
    assert sizes["test"] == 1000
    official = [sum(len(data.gallery.shown[i].questions) for i in items) for items in (range(4000), range(4000, 5000))]
    assert official == [38_575, 9_673]
    assert {data.gallery.shown[i].picture.partition("/")[0] for i in data.items("test")} == {"test"}


def test_every_answer_is_one_of_its_kinds_choices(data):
    answers = {kind: Counter() for kind in CHOICES}
    for entry in data.gallery.shown:
        for asked in entry.questions:
            answers[asked.kind][asked.answer] += 1
    assert {kind: tuple(sorted(counts)) for kind, counts in answers.items()} == CHOICES


@pytest.mark.parametrize(
    ("question", "answer", "kind"),
    [
        ("what is the blue shape?", "circle", "shape"),
        ("what color is the triangle?", "blue", "colour"),
        ("is there a red shape?", "no", "present"),
        ("does the image not contain a circle?", "yes", "absent"),
        ("is no gray shape present?", "no", "absent"),
    ],
)
def test_kinds_of_questions(question, answer, kind):
    assert kind_of(question, answer) == kind


def test_kinds_and_limit_are_options():
    data = easy_vqa(image_size=16, kinds=["shape"], limit=100)
    assert len(data.items("train")) == 100
    assert {s.meta["kind"] for s in data.evaluation("val", "ask")} == {"shape"}
    assert data.items("train") == easy_vqa(image_size=16, kinds=["shape"], limit=100, seed=1).items("train")
    with pytest.raises(UsageError, match="unknown kind of question 'size'"):
        easy_vqa(kinds=["size"])


def test_a_missing_package_is_told(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'mmgraph\[vqa\]'"):
        easy_vqa()
