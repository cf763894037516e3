"""The suites of metrics: every number explained, repeatable, and left out where it has no meaning."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmgraph.metrics import Meaning, PictureMetric, PictureSet, Score, TextMetric
from mmgraph.testing.stand_ins import pictures
from mmgraph.testing.suite import Suite, expect, no_global_randomness

GIVEN = ("a red fox", "two small birds on a tree", "", "a dog")
REFERENCES = (
    ("a red fox", "the red fox runs"),
    ("two birds", "two small birds sit in a tree", "birds on a branch"),
    ("a blue car on the street", "the car is parked on a street"),
    ("a cat sleeps on the sofa", "one black cat on a red sofa"),
)


class PictureMetricSuite(Suite):
    """What `mmgraph.metrics.PictureMetric` promises."""

    contract = PictureMetric

    def check_declarations(self) -> None:
        """Says what each number means, which way is better, and what real pictures it is held against."""
        _declared(self.cls)
        real = getattr(self.cls, "real", None)
        expect(real in ("same", "other"), f"`real` is {real!r}; set 'same' or 'other' on the class.")

    def check_scores(self) -> None:
        """Scores are finite numbers with a meaning, and their parts agree with them."""
        scores = self._compute(24, 24, 24)
        expect(scores, "24 drawn, 24 true and 24 training pictures gave no score.")
        for key, score in scores.items():
            expect(key in self.cls.meanings, f"'{key}' has no entry in `meanings`.")  # type: ignore[attr-defined]
            expect(isinstance(score, Score), f"'{key}' is a {type(score).__name__}; expected a Score.")
            expect(math.isfinite(score.value), f"'{key}' is {score.value}.")
            expect(0 < score.n <= 24, f"'{key}' rests on n = {score.n} of 24 drawn pictures.")
            both = score.per_picture is not None and score.resampled is not None
            expect(not both, f"'{key}' gives per_picture and resampled; give one.")
            _agrees(key, score)

    def check_repeatable(self) -> None:
        """The same generator gives the same scores; no global random state, no input changed."""
        given = [_set(count, seed) for seed, count in enumerate((24, 24, 24))]
        kept = [pictures_set.pictures.clone() for pictures_set in given]
        with no_global_randomness("compute"):
            first = self.make().compute(*given, generator=_generator())
        second = self.make().compute(*given, generator=_generator())
        left, right = ({key: score.value for key, score in found.items()} for found in (first, second))
        expect(left == right, f"the same generator gave {left}, then {right}.")
        same = all(torch.equal(before, after.pictures) for before, after in zip(kept, given, strict=True))
        expect(same, "the pictures were changed.")

    def check_few(self) -> None:
        """Too few pictures, or no training pictures, leave scores out instead of failing or guessing."""
        for counts in ((24, 24, 0), (1, 1, 24), (2, 2, 2), (1, 1, 0)):
            for key, score in self._compute(*counts).items():
                what = "{} drawn, {} true, {} training".format(*counts)
                finite = math.isfinite(score.value)
                expect(finite, f"with {what} pictures '{key}' is {score.value}; leave it out.")

    # -- how ------------------------------------------------------------------------------------------------

    def _compute(self, drawn: int, true: int, train: int) -> dict[str, Score]:
        sets = (_set(drawn, 0), _set(true, 1), _set(train, 2))
        return self.make().compute(*sets, generator=_generator())


class TextMetricSuite(Suite):
    """What `mmgraph.metrics.TextMetric` promises."""

    contract = TextMetric

    def check_declarations(self) -> None:
        """Says what each number means, which way is better, and what texts it reads."""
        _declared(self.cls)
        reads = getattr(self.cls, "reads", None)
        expect(reads in ("captions", "answers"), f"`reads` is {reads!r}; set 'captions' or 'answers' on the class.")

    def check_scores(self) -> None:
        """Scores are finite numbers with a meaning, and their parts agree with them."""
        scores = self.make().compute(GIVEN, REFERENCES)
        expect(scores, f"{len(GIVEN)} texts with references gave no score.")
        for key, score in scores.items():
            expect(key in self.cls.meanings, f"'{key}' has no entry in `meanings`.")  # type: ignore[attr-defined]
            expect(isinstance(score, Score), f"'{key}' is a {type(score).__name__}; expected a Score.")
            expect(math.isfinite(score.value), f"'{key}' is {score.value}.")
            expect(score.n == len(GIVEN), f"'{key}' rests on n = {score.n} of {len(GIVEN)} texts.")
            _agrees(key, score)
        again = {key: score.value for key, score in self.make().compute(GIVEN, REFERENCES).items()}
        expect(again == {key: score.value for key, score in scores.items()}, "a second call gives other scores.")

    def check_references(self) -> None:
        """What people wrote themselves scores better than texts that have nothing in common with it."""
        right = self.make().compute([texts[0] for texts in REFERENCES], REFERENCES)
        wrong = self.make().compute(["zzz"] * len(REFERENCES), REFERENCES)
        for key, score in right.items():
            sign = -1 if self.cls.meanings[key].better == "lower" else 1  # type: ignore[attr-defined]
            better = key not in wrong or sign * score.value > sign * wrong[key].value
            expect(better, f"'{key}' of people's own texts is {score.value}, of strange ones {wrong[key].value}.")

    def check_answers(self) -> None:
        """A metric of answers gives one number, and of each answer by itself."""
        if self.cls.reads != "answers":  # type: ignore[attr-defined]
            return
        scores = self.make().compute(GIVEN, REFERENCES)
        expect(len(scores) == 1, f"{len(scores)} scores; a metric of answers gives one.")
        (score,) = scores.values()
        expect(score.per_picture is not None, "give `per_picture`: answers are scored one by one.")
        for place, (text, references) in enumerate(zip(GIVEN, REFERENCES, strict=True)):
            (alone,) = self.make().compute([text], [references]).values()
            same = math.isclose(alone.value, float(score.per_picture[place]))
            expect(same and 0 <= alone.value <= 1, f"'{text}' earns {alone.value} alone; expected the same, 0 to 1.")

    def check_few(self) -> None:
        """No text, or one, leaves scores out instead of failing or guessing."""
        for count in (0, 1):
            for key, score in self.make().compute(GIVEN[:count], REFERENCES[:count]).items():
                expect(math.isfinite(score.value), f"with {count} texts '{key}' is {score.value}; leave it out.")


def _declared(cls: type) -> None:
    name = getattr(cls, "name", None)
    expect(isinstance(name, str) and name, f"`name` is {name!r}; set it on the class.")
    meanings = getattr(cls, "meanings", None)
    expect(isinstance(meanings, Mapping) and meanings, "`meanings` must say what each number is.")
    for key, meaning in dict(meanings or {}).items():
        good = isinstance(meaning, Meaning) and bool(meaning.label and meaning.text)
        expect(good, f"the meaning of '{key}' is {meaning!r}; give a Meaning with label and text.")
        known = meaning.better in ("higher", "lower", "one", "none")
        expect(known, f"'{key}' is better {meaning.better!r}.")


def _agrees(key: str, score: Score) -> None:
    """What intervals are made from gives back the score itself."""
    if score.per_picture is not None:
        values = score.per_picture
        shape = tuple(values.shape)
        expect(shape == (score.n,), f"per_picture of '{key}' is {shape}, n is {score.n}.")
        mean = float(values.double().mean())
        close = math.isclose(mean, score.value, rel_tol=1e-5, abs_tol=1e-6)
        expect(close, f"the mean of per_picture of '{key}' is {mean}, the score {score.value}.")
    if score.resampled is not None:
        once = score.resampled(torch.ones(2, score.n, dtype=torch.long))
        expect(once.shape == (2,), f"resampled of '{key}' gives {tuple(once.shape)} for two resamples.")
        close = math.isclose(float(once[0]), score.value, rel_tol=1e-4, abs_tol=1e-5)
        expect(close, f"each picture drawn once, '{key}' is {float(once[0])}, the score {score.value}.")


def _set(count: int, seed: int) -> PictureSet:
    size = (count, 3, 16, 16)
    found = torch.stack(pictures(count, 16, seed=seed)) if count else torch.zeros(size, dtype=torch.uint8)
    return PictureSet(found, _features)


def _features(found: Tensor) -> Tensor:
    return found.float().flatten(1)[:, ::8] / 255


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def SUITE(  # noqa: N802 - the name that every module of suites has
    cls: type, make: Callable[[], Any] | None = None, contents: Sequence[Any] | None = None
) -> Suite:
    """Return the suite of a metric of texts, or else that of a metric of pictures."""
    of_texts = isinstance(cls, type) and issubclass(cls, TextMetric)
    return (TextMetricSuite if of_texts else PictureMetricSuite)(cls, make, contents)
