from __future__ import annotations

import json
import logging
import random

import pytest

from mmgraph.datasets import vqav2
from mmgraph.errors import RunError, UsageError
from mmgraph.testing import assert_conforms
from tests.plugins.datasets import benchmarks

QUESTIONS = "v2_OpenEnded_mscoco_train2014_questions.json"
ANNOTATIONS = "v2_mscoco_train2014_annotations.json"


@pytest.fixture
def root(tmp_path):
    return benchmarks.vqav2(tmp_path)


def change(path, edit):
    values = json.loads(path.read_text())
    edit(values)
    path.write_text(json.dumps(values))


def test_conforms(root):
    assert_conforms("datasets", vqav2, make=lambda: vqav2(4, root=str(root), image_size=8))


def test_the_official_files_are_read(root):
    data = vqav2(root=str(root), image_size=8)
    assert [len(data.items(split)) for split in ("train", "val", "test")] == [21, 3, 8]
    asked = data.evaluation("test", "ask")
    assert len(asked) == 24
    sample = next(s for s in asked if s.meta["kind"] == "other")
    picture, question, answer = sample.segments
    assert question.content == "What color is the card?"
    assert answer.content in benchmarks.COLOURS
    assert answer.target
    assert sample.meta["answers"] == (answer.content,) * 8 + ("grey",) * 2
    assert sample.meta["scoring"] == "vqa_accuracy"
    assert sample.meta["choices"] == ()
    number = int(sample.meta["file"].rpartition("_")[2].removesuffix(".jpg")) - 1
    assert benchmarks.colour(number) == answer.content
    assert picture.content.shape == (3, 8, 8)
    yes_no = next(s for s in asked if s.meta["kind"] == "yes_no")
    assert yes_no.meta["choices"] == ("no", "yes")
    assert data.description == "96 questions about 32 photographs; 0.0% of test answers untrained"


def test_the_most_frequent_answer_is_learnt_and_ties_go_to_the_official_one(root):
    def edit(values):
        for entry in values["annotations"]:
            entry["answers"] = benchmarks.people("first", "second", 5)
            entry["multiple_choice_answer"] = "second"
        values["annotations"][0]["answers"] = benchmarks.people("third", "second", 6)

    change(root / ANNOTATIONS, edit)
    data = vqav2(root=str(root), image_size=8)
    learnt = [
        asked.answer for i in (*data.items("train"), *data.items("val")) for asked in data.gallery.shown[i].questions
    ]
    assert learnt.count("third") == 1
    assert learnt.count("second") == len(learnt) - 1


def test_only_frequent_answers_are_trained_on_and_all_are_scored(root, caplog):
    with caplog.at_level(logging.WARNING):
        data = vqav2(root=str(root), image_size=8, top_answers=3)
    kept = {asked.answer for i in data.items("train") for asked in data.gallery.shown[i].questions}
    assert {"1", "no"} < kept
    assert len(kept) == 3
    assert "answer not among the 3 most frequent" in caplog.text
    assert len({s.meta["answer"] for s in data.evaluation("test", "ask")}) > 3


def test_what_cannot_be_used_is_counted_and_named(root, caplog):
    (root / "train2014" / "COCO_train2014_000000000003.jpg").unlink()
    change(root / QUESTIONS, lambda values: values["questions"][0].pop("question_id"))
    change(root / ANNOTATIONS, lambda values: values["annotations"].pop(5))
    change(root / ANNOTATIONS, lambda values: values["annotations"][8].update(answers=[]))
    with caplog.at_level(logging.WARNING):
        data = vqav2(root=str(root), image_size=8)
    said = caplog.text
    assert f"{QUESTIONS}: questions left out (3) picture missing: train2014/COCO_train2014_000000000003.jpg" in said
    assert "questions left out (1) without question, question_id or image_id" in said
    assert f"questions left out (1) no usable answer in {ANNOTATIONS}: 22" in said or "(2) no usable answer" in said
    shown = [data.gallery.shown[i] for i in (*data.items("train"), *data.items("val"))]
    assert sum(len(entry.questions) for entry in shown) == 24 * 3 - 3 - 1 - 2


def test_a_damaged_picture_gives_its_place_to_the_next(root, caplog):
    path = root / "train2014" / "COCO_train2014_000000000005.jpg"
    path.write_bytes(path.read_bytes()[:200])
    first, second = (vqav2(4, root=str(root), image_size=8) for _ in range(2))
    with caplog.at_level(logging.WARNING):
        seen = [first.training_sample(n).meta["file"] for n in range(120)]
    assert f"train2014/{path.name}" not in seen
    assert len(set(seen)) == 20
    (record,) = [r for r in caplog.records if "picture left out" in r.message]
    assert path.name in record.message
    again = [second.training_sample(n).meta["file"] for n in reversed(range(120))]
    assert again[::-1] == seen
    every = first.evaluation("train", "ask")
    assert len(every) == 20 * 3


def test_a_folder_of_damaged_pictures_is_a_run_error(root):
    for path in (root / "train2014").iterdir():
        path.write_bytes(b"not a picture")
    data = vqav2(root=str(root), image_size=8)
    with pytest.raises(RunError, match=r"in a row cannot be read.*unpack the pictures again"):
        data.sample("train", data.items("train")[0], "ask", random.Random(0))


@pytest.mark.parametrize(
    ("harm", "error", "said"),
    [
        (lambda r: (r / QUESTIONS).unlink(), UsageError, f"no questions of train2014: looked for {QUESTIONS}"),
        (lambda r: (r / ANNOTATIONS).unlink(), UsageError, "no annotations of train2014"),
        (lambda r: (r / "train2014").rename(r / "photos"), UsageError, "no folder .*train2014"),
        (lambda r: (r / QUESTIONS).write_text('{"questions": [{'), RunError, "no whole JSON file: line 1, column"),
        (lambda r: (r / ANNOTATIONS).write_text(""), RunError, r"\(0 bytes\) .*it is empty. Download"),
        (lambda r: (r / QUESTIONS).write_text('{"questions": []}'), RunError, "empty list 'questions'"),
        (lambda r: (r / QUESTIONS).write_text('{"data": 1}'), RunError, "no list 'questions' .it has: data"),
        (lambda r: (r / QUESTIONS).write_bytes(b"\x1f\x8b\xff"), RunError, "not UTF-8 text.*packed"),
        (
            lambda r: [p.unlink() for p in (r / "val2014").iterdir()],
            RunError,
            r"no usable entry: picture missing \(24\)",
        ),
        (lambda r: (r / ANNOTATIONS).write_text('{"annotations": [{}, 3]}'), RunError, "no usable answer"),
    ],
)
def test_what_is_missing_or_damaged_is_told_in_one_message(root, harm, error, said):
    harm(root)
    with pytest.raises(error, match=said):
        vqav2(root=str(root))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"protocol": "grouped"}, "vqav2 keeps the benchmark's own division"),
        ({"tasks": {"draw": 1.0}}, "tasks of VQAv2Dataset are ask"),
        ({"image_size": 2}, "at least 4"),
        ({"top_answers": 0}, "at least 1"),
        ({"evaluated": 0}, "at least 1"),
        ({"images": "nowhere"}, "no folder nowhere .option images"),
    ],
)
def test_wrong_usage_is_refused(root, options, said):
    with pytest.raises(UsageError, match=said):
        vqav2(root=str(root), **options)


def test_pictures_may_lie_elsewhere(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("photos")
    for part in ("train2014", "val2014"):
        (root / part).rename(elsewhere / part)
    assert len(vqav2(root=str(root), images=str(elsewhere)).items("test")) == 8
