"""How many questions a model answers rightly, kind by kind, beside chance and majority."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mmgraph.evaluation.examples import Question, stack
from mmgraph.evaluation.statistics import mean_interval


@dataclass(frozen=True, eq=False)
class Answer:
    """What the model said to a question."""

    question: Question
    given: str

    @property
    def correct(self) -> bool:
        """Whether it is the right answer, letter case and spaces aside."""
        return normal(self.given) == normal(self.question.answer)


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

    Chance is one over the number of choices; for an open question, over the number of different answers that
    training or the questions themselves know. Majority answers every question with the most frequent answer
    of its kind in training. The interval resamples concepts, for questions about one are not independent.

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
    right = torch.tensor([float(item.correct) for item in answers], dtype=torch.double)
    known = len(set(common) | {normal(item.question.answer) for item in answers})
    chance = [1 / (len(item.question.choices) or known) for item in answers]
    favourite = min(common, key=lambda text: (-common[text], text)) if common else None
    majority = None
    if favourite is not None:
        majority = sum(normal(item.question.answer) == favourite for item in answers) / len(answers)
    interval = mean_interval(right, [item.question.concept for item in answers], seed=seed)
    return {
        "accuracy": float(right.mean()),
        "n": len(answers),
        "chance": sum(chance) / len(chance),
        "majority": majority,
        "ci95": list(interval),
    }


def normal(text: str) -> str:
    """Return text as answers are compared: lower case, single spaces."""
    return " ".join(text.lower().split())


def _naming_first(item: tuple[str, Any]) -> tuple[bool, str]:
    return item[0] != "name", item[0]
