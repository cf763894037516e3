"""The contracts of metrics, of pictures and of texts, and the lazy names of every installed one.

A picture metric scores drawn pictures against true ones, and knows what the training pictures were. It sees
pixels and features; which features is decided by whoever builds the `PictureSet`. A text metric scores captions
or answers against what people wrote.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from mmgraph import registry
from mmgraph.errors import UsageError

Featurize = Callable[[Tensor], Tensor]
"""Pictures `(N, C, height, width)` uint8 to features `(N, F)` float."""


class PictureSet:
    """Pictures with their features, computed once and only when asked for.

    Shapes:
        pictures: `(N, C, height, width)` uint8.
        features: `(N, F)` float.

    Args:
        pictures: The pictures.
        featurize: Gives their features.

    Raises:
        UsageError: If the pictures are not uint8 with four axes.
    """

    def __init__(self, pictures: Tensor, featurize: Featurize) -> None:
        if pictures.dtype != torch.uint8 or pictures.dim() != 4:
            raise UsageError(
                f"a set of pictures is uint8 (N, C, height, width); got {pictures.dtype} {tuple(pictures.shape)}."
            )
        self.pictures = pictures
        self._featurize = featurize
        self._features: Tensor | None = None

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def features(self) -> Tensor:
        """Features of the pictures, `(N, F)`."""
        if self._features is None:
            self._features = self._featurize(self.pictures)
        return self._features

    @property
    def pixels(self) -> Tensor:
        """Pixels as numbers from 0 to 1, `(N, C * height * width)`."""
        return self.pictures.flatten(1).float() / 255

    def identities(self) -> list[bytes]:
        """Return what tells pictures apart: two are equal exactly if their pixels are."""
        return [picture.numpy().tobytes() for picture in self.pictures.contiguous()]

    def select(self, index: Sequence[int] | Tensor) -> PictureSet:
        """Return some of the pictures, with the features that are already known."""
        rows = torch.as_tensor(index, dtype=torch.long)
        chosen = PictureSet(self.pictures[rows], self._featurize)
        chosen._features = None if self._features is None else self._features[rows]
        return chosen


@dataclass(frozen=True)
class Meaning:
    """What a number says, for tables and reports.

    Args:
        label: Its short name, for example `R@10`.
        text: One sentence on what it measures.
        better: Which way is better: `higher`, `lower`, `one` when it should be near 1, `none` when the text
            must say.
        headline: Whether it belongs to the few numbers shown first.
    """

    label: str
    text: str
    better: Literal["higher", "lower", "one", "none"]
    headline: bool = False


@dataclass(frozen=True)
class Score:
    """One number, and what is needed to say how sure it is.

    Exactly one of `per_picture` and `resampled` may be given; with neither there is no interval.

    Args:
        value: The number.
        n: How many drawn pictures it rests on.
        candidates: Among how many pictures the right one is looked for, where that is what is done.
        chance: What guessing gives, where guessing means something.
        spread: Standard deviation over subsets, where the metric is an average over such.
        per_picture: `(n,)` values whose mean is `value`.
        resampled: Takes `(R, n)` counts, how often each drawn picture was drawn in each of R resamples,
            and returns the `(R,)` values of the score.
    """

    value: float
    n: int
    candidates: int | None = None
    chance: float | None = None
    spread: float | None = None
    per_picture: Tensor | None = None
    resampled: Callable[[Tensor], Tensor] | None = None


class PictureMetric(ABC):
    """Scores drawn pictures against true ones.

    `drawn[i]` was drawn from the caption of `true[i]`. One metric may give several numbers; `meanings` lists
    them. What cannot be computed from the pictures given (too few, no training pictures) is left out of the
    result, never guessed.
    """

    name: ClassVar[str]
    meanings: ClassVar[Mapping[str, Meaning]]
    """What each number in the result of `compute` says."""
    real: ClassVar[Literal["same", "other"]]
    """Which real pictures show the best that can be reached: the true ones themselves, or others."""

    @abstractmethod
    def compute(
        self, drawn: PictureSet, true: PictureSet, train: PictureSet, *, generator: torch.Generator
    ) -> dict[str, Score]:
        """Return the scores by name.

        Args:
            drawn: What the model drew.
            true: The picture that belongs to each caption, in the same order.
            train: What the model was trained on; may be empty.
            generator: Source of every random choice.
        """


class TextMetric(ABC):
    """Scores texts against what people wrote of the same pictures.

    Each item has one text to be scored and one or more references. One metric may give several numbers;
    `meanings` lists them. As with pictures, what cannot be computed is left out, never guessed.
    """

    name: ClassVar[str]
    meanings: ClassVar[Mapping[str, Meaning]]
    """What each number in the result of `compute` says."""
    reads: ClassVar[Literal["captions", "answers"]]
    """What the texts are: captions, which every installed metric of captions scores; or answers, where the
    questions of a data set name the metric. A metric of answers gives one number, from 0 to 1, of each answer
    by itself."""

    @abstractmethod
    def compute(self, given: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Score]:
        """Return the scores by name.

        Args:
            given: The text of each item.
            references: What people wrote, for each item in the same order.
        """


def pairwise(left: Tensor, right: Tensor) -> Tensor:
    """Return Euclidean distances `(N, M)` between the rows of `(N, F)` and `(M, F)`.

    Computed by subtraction, in pieces: the faster product form rounds the distance of equal rows to
    something above zero, and a metric that looks for copies must see that zero.
    """
    return torch.cdist(left, right, compute_mode="donot_use_mm_for_euclid_dist")


def installed(names: Sequence[str] | None = None) -> Iterator[PictureMetric | TextMetric]:
    """Yield one of each installed metric, or of those named.

    Raises:
        UsageError: If a name is unknown.
    """
    for name in registry.names("metrics") if names is None else names:
        yield registry.load("metrics", name)()


def of_answers(name: str) -> TextMetric:
    """Return the metric that the questions of a data set name.

    Raises:
        UsageError: If it is unknown or not a metric of answers.
    """
    metric = registry.load("metrics", name)()
    if not (isinstance(metric, TextMetric) and metric.reads == "answers"):
        raise UsageError(f"questions are scored by a metric of answers; mmgraph.metrics.{name} is none.")
    return metric


def mean_of_pairs(matrix: Tensor, counts: Tensor) -> Tensor:
    """Return the mean of a matrix `(N, N)` over pairs of different rows and columns, in each resample `(R,)`.

    A picture that a resample holds twice does not pair with itself: it would look alike without being so.

    Args:
        matrix: A kernel or a distance between pictures.
        counts: How often each picture counts in each resample `(R, N)`.
    """
    own = (counts**2 * matrix.diagonal()).sum(1)
    return (((counts @ matrix) * counts).sum(1) - own) / (counts.sum(1) ** 2 - (counts**2).sum(1))


__getattr__, __dir__ = registry.lazy("metrics")
