from __future__ import annotations

import random

import pytest
import torch

from mmgraph.errors import RunError
from mmgraph.evaluation.examples import Caption, Question, captions, pick, questions, stack
from mmgraph.testing.stand_ins import pictures
from tests.evaluation.world import COLORS, Squares


def shows(count):
    """A yes and a no about each of some pictures."""
    return [
        Question("shows", f"does it show {answer} ?", picture, answer, ("no", "yes"), str(number))
        for number, picture in enumerate(pictures(count, 8))
        for answer in ("yes", "no")
    ]


def test_a_limit_keeps_yes_and_no_about_a_picture_together():
    chosen = pick(shows(30), 20)
    assert len(chosen) == 20
    assert sum(question.answer == "yes" for question in chosen) == 10
    assert len(pick(shows(30), 5)) == 6


def test_what_is_picked_depends_on_content_not_on_order():
    every = shows(30)
    shuffled = list(every)
    random.Random(0).shuffle(shuffled)

    def chosen(asked):
        return {(q.concept, q.text) for q in pick(asked, 10)}

    assert chosen(every) == chosen(shuffled)
    assert chosen(every) <= {(q.concept, q.text) for q in pick(every, 20)}
    assert chosen(every) != {(q.concept, q.text) for q in every[:10]}


def test_each_kind_has_its_own_limit_and_the_same_pictures():
    names = [Question("name", "", q.picture, q.concept, (), q.concept) for q in shows(30)[::2]]
    chosen = pick([*shows(30), *names], 10, key=lambda question: question.kind)
    found = {kind: {q.concept for q in chosen if q.kind == kind} for kind in ("shows", "name")}
    assert len(found["shows"]) == 5
    assert len(found["name"]) == 10
    assert found["shows"] < found["name"]


def test_reads_captions_and_questions_of_a_data_set():
    dataset = Squares(count=20)
    drawn = captions(dataset, "test")
    assert [caption.text for caption in drawn] == [dataset.name(item) for item in range(16, 20)]
    assert torch.equal(drawn[0].picture, dataset.picture(16))
    asked = questions(dataset, "test")
    assert [(q.kind, q.text) for q in asked[::4]] == [("name", ""), ("colour", "which colour ?")]
    assert asked[-1].choices == tuple(COLORS)
    assert asked[0].concept == asked[4].concept == dataset.name(16)
    assert len(captions(dataset, "train", 3)) == 3


def test_tasks_without_weight_and_samples_without_pictures_give_nothing():
    assert captions(Squares({"draw": 0, "name": 1, "ask": 1}), "test") == []
    assert captions(Squares(pictures=False), "test") == []
    assert questions(Squares(pictures=False), "test") == []


def test_pictures_of_different_size_are_refused():
    mixed = [Caption("a", torch.zeros(3, size, 8, dtype=torch.uint8), "a") for size in (8, 9)]
    with pytest.raises(RunError, match=r"\(3, 8, 8\) and \(3, 9, 8\)"):
        stack(mixed, "the captions")
