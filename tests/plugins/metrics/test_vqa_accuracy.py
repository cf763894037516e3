from __future__ import annotations

import pytest
from mmgraph_metrics.vqa_answers import normal

from mmgraph.metrics import vqa_accuracy
from mmgraph.testing import assert_conforms


def accuracy(given: str, people: list[str]) -> float:
    return vqa_accuracy().compute([given], [people])["vqa_accuracy"].value


def test_conforms():
    assert_conforms("metrics", vqa_accuracy)


@pytest.mark.parametrize(("agree", "value"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (9, 1.0), (10, 1.0)])
def test_the_published_values_for_ten_answers(agree, value):
    assert accuracy("red", ["red"] * agree + ["blue"] * (10 - agree)) == pytest.approx(value)


def test_equals_the_definition_with_each_person_left_out():
    people = ["dog", "a dog", "dogs", "the dog", "cat", "cat", "Cat.", "puppy", "1 dog", "one dog"]
    for given in ("dog", "cat", "one dog", "fish", "dogs"):
        said = [normal(text) for text in people]
        left_out = [min(1, sum(o == normal(given) for j, o in enumerate(said) if j != i) / 3) for i in range(10)]
        assert accuracy(given, people) == pytest.approx(sum(left_out) / 10)


@pytest.mark.parametrize(
    ("said", "form"),
    [
        # the benchmark's own examples
        ("100,978", "100978"),
        ("girl's", "girl's"),
        ("2:50 pm", "2:50 pm"),
        ("Two", "2"),
        ("none", "0"),
        ("the red car", "red car"),
        ("dont", "don't"),
        ("oclock", "o'clock"),
        # from the rules, checked against the official script's functions
        ("3.5", "3.5"),
        ("No.", "no"),
        ("blue/green", "blue green"),
        ("blue / green", "blue green"),
        ("t-shirt", "t shirt"),
        ("t - shirt", "t shirt"),
        ("black & white", "black & white"),
        ('"STOP"', "stop"),
        ("yes!", "yes"),
        ("couldntve", "couldn't've"),
        ("a\n b\t an", "b"),
        ("ten, eleven", "10 eleven"),
        ("", ""),
    ],
)
def test_answers_are_compared_in_one_form(said, form):
    assert normal(said) == form
    assert normal(form) == form


def test_the_form_of_an_answer_does_not_decide():
    people = ["T-shirt"] * 5 + ["a shirt"] * 5
    assert accuracy("t shirt", people) == accuracy("the t-shirt.", people) == 1.0


def test_fewer_answers_than_ten():
    assert accuracy("Yes", ["yes"]) == 1.0
    assert accuracy("no", ["yes"]) == 0.0
    assert accuracy("yes", ["yes", "no"]) == pytest.approx((0 + 1 / 3) / 2)
