"""How many questions a model answers rightly, kind by kind, beside chance and majority."""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mmgraph.evaluation.examples import Question, stack
from mmgraph.evaluation.statistics import mean_interval
from mmgraph.metrics import TextMetric, of_answers

RIGHT = 0.5
"""What an answer must earn to be shown as right, where a rule gives part of the credit."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What the model said to a question."""

    question: Question
    given: str

    @functools.cached_property
    def value(self) -> float:
        """What it earns, from 0 to 1: by the question's rule, else 1 for a right answer, case and spaces aside."""
        return earned([self.given], self.question)[0]

    @property
    def correct(self) -> bool:
        """Whether it earns at least half."""
        return self.value >= RIGHT


def earned(given: Sequence[str], question: Question) -> list[float]:
    """Return what each of some answers to a question earns."""
    if not question.scoring:
        right = {normal(text) for text in question.people}
        return [float(normal(text) in right) for text in given]
    (score,) = _rule(question.scoring).compute(given, [question.people] * len(given)).values()
    assert score.per_picture is not None
    return score.per_picture.tolist()


@functools.cache
def _rule(name: str) -> TextMetric:
    return of_answers(name)


def answer(model: Any, questions: Sequence[Question]) -> list[Answer]:
    """Put every question to the model."""
    from mmgraph import generation

    given: dict[int, str] = {}
    for naming in (True, False):
        chosen = [index for index, question in enumerate(questions) if (question.text == "") == naming]
        if not chosen:
            continue
        pictures = stack((questions[index] for index in chosen), "the questions")
        if naming:
            said = generation.name(model, pictures)
        else:
            said = generation.ask(model, pictures, [questions[index].text for index in chosen])
        given.update(zip(chosen, said, strict=True))
    return [Answer(question, given[index]) for index, question in enumerate(questions)]


def score(answers: Sequence[Answer], training: Sequence[Question], *, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Return accuracy, n, chance, majority and a 95 % interval for each kind.

    Accuracy is the mean of what answers earn. Chance is what guessing earns, among the choices or, for an open
    question, among the different answers that training or the questions themselves know. Majority answers every
    question with the most frequent answer of its kind in training. The interval resamples concepts, for questions
    about one are not independent.

    Args:
        answers: What the model said.
        training: All questions about training pictures.
        seed: Decides the resamples.
    """
    common: dict[str, Counter[str]] = defaultdict(Counter)
    for question in training:
        common[question.kind][normal(question.answer)] += 1
    kinds: dict[str, list[Answer]] = defaultdict(list)
    for item in answers:
        kinds[item.question.kind].append(item)
    return {kind: _score(given, common[kind], seed) for kind, given in sorted(kinds.items(), key=_naming_first)}


def _score(answers: Sequence[Answer], common: Counter[str], seed: int) -> dict[str, Any]:
    right = torch.tensor([item.value for item in answers], dtype=torch.double)
    known = len(set(common) | {normal(text) for item in answers for text in item.question.people})
    chance = [_guessing(item.question, known) for item in answers]
    favourite = min(common, key=lambda text: (-common[text], text)) if common else None
    majority = None
    if favourite is not None:
        majority = sum(earned([favourite], item.question)[0] for item in answers) / len(answers)
    interval = mean_interval(right, [item.question.concept for item in answers], seed=seed)
    return {
        "accuracy": float(right.mean()),
        "n": len(answers),
        "chance": sum(chance) / len(chance),
        "majority": majority,
        "ci95": list(interval),
    }


def _guessing(question: Question, known: int) -> float:
    """Return what an answer earns that is drawn from the choices, or from all that are known where it is open."""
    if question.choices:
        return sum(earned(question.choices, question)) / len(question.choices)
    given = list(dict.fromkeys(map(normal, question.people)))  # no other answer earns anything
    return sum(earned(given, question)) / known


def normal(text: str) -> str:
    """Return text as answers are compared: lower case, single spaces."""
    return " ".join(text.lower().split())


def _naming_first(item: tuple[str, Any]) -> tuple[bool, str]:
    return item[0] != "name", item[0]
