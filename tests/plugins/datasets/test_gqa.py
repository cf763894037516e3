from __future__ import annotations

import json
import logging

import pytest

from mmgraph.datasets import gqa
from mmgraph.errors import RunError, UsageError
from mmgraph.testing import assert_conforms
from tests.plugins.datasets import benchmarks

TRAIN = "train_balanced_questions.json"


@pytest.fixture
def root(tmp_path):
    return benchmarks.gqa(tmp_path)


def test_conforms(root):
    assert_conforms("datasets", gqa, make=lambda: gqa(4, root=str(root), image_size=8))


def test_questions_answers_and_types_are_read(root):
    data = gqa(root=str(root), image_size=8)
    assert [len(data.items(split)) for split in ("train", "val", "test")] == [23, 1, 8]
    asked = data.evaluation("test", "ask")
    assert {s.meta["kind"] for s in asked} == {"query", "verify"}
    sample = next(s for s in asked if s.meta["kind"] == "query")
    assert sample.segments[2].content in benchmarks.COLOURS
    assert sample.meta["answers"] == (sample.meta["answer"], f"The card is {sample.meta['answer']}.")
    assert sample.meta["file"] == f"{2_300_000 + benchmarks.COLOURS.index(sample.meta['answer']) + 24}.jpg"


def test_full_answers_may_be_learnt(root):
    data = gqa(root=str(root), image_size=8, full_answers=True)
    sample = next(s for s in data.evaluation("test", "ask") if s.meta["kind"] == "query")
    assert sample.segments[2].content.startswith("The card is ")


def test_what_cannot_be_used_is_counted(root, caplog):
    values = json.loads((root / TRAIN).read_text())
    keys = list(values)
    del values[keys[0]]["answer"]
    values[keys[3]]["imageId"] = "99"
    values[keys[4]] = None
    (root / TRAIN).write_text(json.dumps(values))
    with caplog.at_level(logging.WARNING):
        gqa(root=str(root))
    assert f"(2) without question or answer: {keys[0]}, {keys[4]}" in caplog.text
    assert "(1) picture missing: 99" in caplog.text


def test_a_test_file_about_training_pictures_is_refused(root):
    with pytest.raises(UsageError, match=r"ask about the same 24 pictures, such as 2300000\.jpg"):
        gqa(root=str(root), test=TRAIN)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "keyed by question id"),
        ("{}", "keyed by question id"),
        ('{"1": {}}', "no usable entry"),
        ("{", "no whole"),
    ],
)
def test_damaged_files_are_run_errors(root, text, said):
    (root / TRAIN).write_text(text)
    with pytest.raises(RunError, match=said):
        gqa(root=str(root))
