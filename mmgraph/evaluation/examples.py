"""What is asked of a model in an evaluation: captions to draw and questions about pictures.

Which of them are taken, where there are more than needed, is decided by a hash of their content: the same
at every call and on every machine, whatever the model and the seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from mmgraph.datasets import Dataset, Split
from mmgraph.errors import RunError
from mmgraph.sequence import Sample, Segment

QUESTION_TASKS = ("name", "ask")
DRAW_TASK = "draw"
TASKS = (*QUESTION_TASKS, DRAW_TASK)
"""Those that are about pictures; of any other task, the held-out loss is measured."""


@dataclass(frozen=True, eq=False)
class Question:
    """A picture, what is asked about it, and the right answer.

    Args:
        kind: Kind of question; `name` for the task of naming.
        text: The question; empty for naming.
        picture: `(C, height, width)` uint8.
        answer: The right answer.
        choices: The answers to choose from; empty if it is open.
        concept: What the picture shows; questions of one concept are one cluster.
        references: All that people said, where there is more than `answer`; each of them is right.
        scoring: Metric of answers by which it is scored; '': right or wrong.
    """

    kind: str
    text: str
    picture: Tensor
    answer: str
    choices: tuple[str, ...]
    concept: str
    references: tuple[str, ...] = ()
    scoring: str = ""

    @property
    def people(self) -> tuple[str, ...]:
        """All right answers."""
        return self.references or (self.answer,)


@dataclass(frozen=True, eq=False)
class Caption:
    """A caption and the picture that belongs to it.

    Args:
        text: The caption.
        picture: `(C, height, width)` uint8.
        concept: What the picture shows.
        item: The data set's item that the picture shows; None where it names none.
        given: What stands before the picture, where that is not the caption.
        task: The task that wants it drawn.
    """

    text: str
    picture: Tensor
    concept: str
    item: Any = None
    given: tuple[Segment, ...] = ()
    task: str = DRAW_TASK

    @property
    def request(self) -> str:
        """What is said of the picture that is to be drawn: the caption, or the words among what is given."""
        return " ".join(str(part.content) for part in self.given if part.modality == "text") or self.text

    @property
    def shown(self) -> Tensor | None:
        """The last picture that is given."""
        return next((part.content for part in reversed(self.given) if part.modality == "image"), None)


def captions(dataset: Dataset, split: Split, limit: int | None = None) -> list[Caption]:
    """Return the captions of a split whose picture is known, of its first `limit` samples."""
    found = []
    for sample in _samples(dataset, split, DRAW_TASK, limit):
        picture = _picture(dataset, sample)
        if picture is not None:
            text = str(sample.meta.get("caption") or _text(sample))
            found.append(Caption(text, picture, _concept(sample, picture), sample.meta.get("item")))
    return found


def drawing_tasks(dataset: Dataset, split: Split) -> list[str]:
    """Return the tasks beside `draw` that end in a picture to be drawn from something that is given."""
    found = []
    for task in dataset.tasks:
        sample = next(iter(_samples(dataset, split, task, 1)), None) if task not in TASKS else None
        if sample is not None and _drawn(sample) is not None and any(not part.target for part in sample.segments):
            found.append(task)
    return found


def requests(dataset: Dataset, split: Split, task: str, limit: int | None = None) -> list[Caption]:
    """Return what a task gives and wants drawn, of the first `limit` samples of a split.

    What a sample has to be written before the picture is left out: a model must do without, or write it itself.
    """
    found = []
    for sample in _samples(dataset, split, task, limit):
        picture = _drawn(sample)
        if picture is not None:
            text = str(sample.meta.get("caption") or _text(sample))
            given = tuple(part for part in sample.segments if not part.target)
            found.append(Caption(text, picture, _concept(sample, picture), sample.meta.get("item"), given, task))
    return found


def questions(dataset: Dataset, split: Split, limit: int | None = None) -> list[Question]:
    """Return the questions of a split about a picture, naming among them, of each task's first `limit`."""
    found = []
    for task in QUESTION_TASKS:
        for sample in _samples(dataset, split, task, limit):
            picture, answer = _picture(dataset, sample), sample.meta.get("answer")
            if picture is None or answer is None:
                continue
            found.append(
                Question(
                    str(sample.meta.get("kind") or task),
                    "" if task == "name" else str(sample.meta.get("question") or _text(sample)),
                    picture,
                    str(answer),
                    tuple(str(choice) for choice in sample.meta.get("choices") or ()),
                    _concept(sample, picture),
                    tuple(str(reference) for reference in sample.meta.get("answers") or ()),
                    str(sample.meta.get("scoring") or "") if task != "name" else "",
                )
            )
    return found


Example = TypeVar("Example", Question, Caption)


def pick(examples: Sequence[Example], limit: int, key: Callable[[Example], str] = lambda _: "") -> list[Example]:
    """Return about `limit` examples of each key, in an order decided by a hash of their pictures.

    All examples of one picture are taken or left together, for the yes and the no about it balance each
    other; so a key may have slightly more than the limit, never less while there are enough.

    Args:
        examples: To choose from.
        limit: How many of each key.
        key: For example the kind of a question.
    """
    groups: dict[str, dict[bytes, list[Example]]] = {}
    for example in examples:
        groups.setdefault(key(example), {}).setdefault(fingerprint(example), []).append(example)
    chosen: list[Example] = []
    for pictures in groups.values():
        taken = 0
        for name in sorted(pictures):
            if taken >= limit:
                break
            chosen += pictures[name]
            taken += len(pictures[name])
    return chosen


def fingerprint(example: Question | Caption) -> bytes:
    """Return what identifies an example's concept and picture."""
    return hashlib.sha256(example.concept.encode() + b"|" + example.picture.numpy().tobytes()).digest()


def stack(examples: Iterable[Question | Caption], whose: str) -> Tensor:
    """Return the pictures `(N, C, height, width)`.

    Raises:
        RunError: If they differ in size.
    """
    pictures = [example.picture for example in examples]
    sizes = sorted({tuple(picture.shape) for picture in pictures})
    if len(sizes) > 1:
        raise RunError(f"the pictures of {whose} differ in size ({sizes[0]} and {sizes[1]}); bring them to one size.")
    return torch.stack(pictures) if pictures else torch.zeros(0, 3, 0, 0, dtype=torch.uint8)


def _samples(dataset: Dataset, split: Split, task: str, limit: int | None) -> list[Sample]:
    return dataset.evaluation(split, task, limit) if dataset.tasks.get(task, 0) > 0 else []


def _drawn(sample: Sample) -> Tensor | None:
    """Return the picture that a sample ends in, if it is to be drawn."""
    last = sample.segments[-1]
    return last.content if last.target and last.modality == "image" else None


def _picture(dataset: Dataset, sample: Sample) -> Tensor | None:
    for segment in sample.segments:
        if segment.modality == "image" and segment.content is not None:
            return segment.content
    if any(segment.modality == "image" for segment in sample.segments) and "item" in sample.meta:
        return dataset.picture(sample.meta["item"])
    return None


def _text(sample: Sample) -> str:
    parts: list[Any] = [s.content for s in sample.segments if s.modality == "text" and not s.target]
    return " ".join(str(part) for part in parts)


def _concept(sample: Sample, picture: Tensor) -> str:
    """Return the concept; a picture of none stands for itself."""
    concept = sample.meta.get("concept")
    return str(concept) if concept is not None else hashlib.sha256(picture.numpy().tobytes()).hexdigest()
