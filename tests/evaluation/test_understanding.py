from __future__ import annotations

import pytest
import torch

from mmgraph import generation
from mmgraph.errors import UsageError
from mmgraph.evaluation.examples import Question
from mmgraph.evaluation.understanding import Answer, answer, score

PICTURE = torch.zeros(3, 4, 4, dtype=torch.uint8)


def asked(kind, right, *, choices=(), concept="fox", text="what ?"):
    return Question(kind, text, PICTURE, right, choices, concept)


def test_accuracy_chance_and_majority_by_hand():
    choices = ("red", "blue", "green", "white")
    training = [asked("colour", right) for right in ["red"] * 5 + ["blue"] * 3]
    answers = [
        Answer(asked("colour", right, choices=choices, concept=str(n)), given)
        for n, (right, given) in enumerate([("red", "red"), ("blue", "red"), ("blue", " BLUE "), ("green", "")])
    ]
    row = score(answers, training)["colour"]
    assert row["accuracy"] == 0.5
    assert row["n"] == 4
    assert row["chance"] == 0.25
    assert row["majority"] == 0.25  # always red, the most frequent in training; not blue, the most frequent here


def test_chance_of_an_open_question_counts_the_answers_that_are_known():
    training = [asked("name", name) for name in ("fox", "cat", "cat", "dog")]
    answers = [Answer(asked("name", name), name) for name in ("owl", "Cat")]
    row = score(answers, training)["name"]
    assert row["chance"] == pytest.approx(1 / 4)
    assert row["majority"] == 0.5


def test_a_kind_that_training_never_asks_has_no_majority():
    assert score([Answer(asked("new", "a"), "a")], [])["new"]["majority"] is None


def test_ties_of_the_majority_are_broken_the_same_way_everywhere():
    training = [asked("shows", right) for right in ("yes", "no")]
    answers = [Answer(asked("shows", right, choices=("no", "yes")), "yes") for right in ("yes", "yes", "no")]
    row = score(answers, training)["shows"]
    assert (row["majority"], row["chance"]) == (pytest.approx(1 / 3), 0.5)


def test_questions_about_one_concept_are_one_observation():
    def width(concept):
        answers = [Answer(asked("k", "a", concept=concept(n)), "a" if n // 8 % 2 else "b") for n in range(160)]
        low, high = score(answers, [])["k"]["ci95"]
        return high - low

    assert width(lambda n: str(n // 8)) > 2 * width(str)


def test_names_come_first_then_kinds_by_name():
    answers = [Answer(asked(kind, "a"), "a") for kind in ("shows", "colour", "name")]
    assert list(score(answers, [])) == ["name", "colour", "shows"]


def test_naming_and_asking_reach_the_model_in_order(monkeypatch):
    monkeypatch.setattr(generation, "name", lambda model, pictures: [f"name {n}" for n in range(len(pictures))])
    monkeypatch.setattr(generation, "ask", lambda model, pictures, texts: [f"said {text}" for text in texts])
    mixed = [asked("colour", "", text="a"), asked("name", "", text=""), asked("size", "", text="b")]
    assert [item.given for item in answer(None, mixed)] == ["said a", "name 0", "said b"]


def test_each_of_several_right_answers_is_right():
    question = Question("name", "", PICTURE, "a fox", (), "fox", ("a fox", "The red fox"))
    assert [Answer(question, said).value for said in ("A FOX", "the red  fox", "fox")] == [1.0, 1.0, 0.0]
    assert score([Answer(question, "x")], [])["name"]["chance"] == 1.0  # both answers that are known are right


def test_a_rule_gives_part_of_the_credit_to_answers_chance_and_majority():
    people = ("red",) * 8 + ("blue",) * 2
    question = Question("colour", "which ?", PICTURE, "red", (), "card", people, "vqa_accuracy")
    said = [Answer(question, given) for given in ("Red.", "blue", "green")]
    assert [item.value for item in said] == pytest.approx([1.0, 0.6, 0.0])
    assert [item.correct for item in said] == [True, True, False]
    training = [asked("colour", right) for right in ("blue", "blue", "pink", "teal")]
    row = score(said, training)["colour"]
    assert row["accuracy"] == pytest.approx(1.6 / 3)
    assert row["majority"] == pytest.approx(0.6)
    assert row["chance"] == pytest.approx(1.6 / 4)  # red, blue, pink and teal are known


def test_chance_counts_only_choices_that_are_right():
    item = Answer(asked("colour", "mauve", choices=("red", "blue")), "red")
    assert score([item], [])["colour"]["chance"] == 0.0


def test_a_rule_must_be_a_metric_of_answers():
    with pytest.raises(UsageError, match=r"mmgraph\.metrics\.rouge_l is none"):
        Answer(Question("k", "?", PICTURE, "a", (), "c", (), "rouge_l"), "a").value  # noqa: B018
