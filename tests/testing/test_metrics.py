from __future__ import annotations

from typing import Any

import pytest
import torch

from mmgraph import testing
from mmgraph.metrics import Meaning, PictureMetric, Score, TextMetric
from tests.testing.broken import broken


class Error(PictureMetric):
    """Mean squared error."""

    name = "error"
    meanings = {"error": Meaning("MSE", "How far the pixels are apart.", "lower")}
    real = "same"

    def __init__(self) -> None:
        pass

    def compute(self, drawn, true, train, *, generator):
        each = (drawn.pixels - true.pixels).square().mean(1)
        return {"error": Score(float(each.mean()), len(each), per_picture=each)}


class TestMetrics:
    def metric(self, **changes: Any) -> type:
        return type("Odd", (Error,), {"__doc__": "Odd.", **changes})

    def test_a_good_one(self):
        testing.assert_conforms("metrics", Error)

    @pytest.mark.parametrize(
        ("compute", "promise", "message"),
        [
            (lambda self, d, t, r, *, generator: {"other": Score(1.0, 3)}, "finite numbers", "no entry"),
            (
                lambda self, d, t, r, *, generator: {"error": Score(float(r.pixels.mean()), len(d))},
                "Too few pictures",
                "with 24 drawn, 24 true, 0 training pictures 'error' is nan",
            ),
            (
                lambda self, d, t, r, *, generator: {"error": Score(float(torch.rand(1)), len(d))},
                "The same generator",
                "torch's global random state",
            ),
            (
                lambda self, d, t, r, *, generator: {"error": Score(2.0, 24, per_picture=torch.ones(24))},
                "their parts agree",
                "the mean of per_picture of 'error' is 1.0",
            ),
        ],
    )
    def test_one_thing_wrong(self, compute, promise, message):
        broken("metrics", self.metric(compute=compute), promise, message)

    def test_declarations(self):
        broken("metrics", self.metric(real="fake"), "Says what each number means", "set 'same' or 'other'")


class Hits(TextMetric):
    """Share of texts that are among the references."""

    name = "hits"
    meanings = {"hits": Meaning("Hits", "Share of texts that are references.", "higher")}
    reads = "answers"

    def compute(self, given, references):
        each = torch.tensor([float(text in own) for text, own in zip(given, references, strict=True)])
        return {"hits": Score(float(each.mean()), len(each), per_picture=each)} if len(each) else {}


class TestTextMetrics:
    def metric(self, **changes: Any) -> type:
        return type("Odd", (Hits,), {"__doc__": "Odd.", **changes})

    def test_a_good_one(self):
        testing.assert_conforms("metrics", Hits)

    @pytest.mark.parametrize(
        ("compute", "promise", "message"),
        [
            (lambda self, g, r: {"other": Score(1.0, len(g))}, "finite numbers", "no entry"),
            (lambda self, g, r: {"hits": Score(float(torch.rand(1)), len(g))}, "finite numbers", "other scores"),
            (lambda self, g, r: {"hits": Score(0.5, len(g))}, "What people wrote", "is 0.5, of strange ones 0.5"),
            (
                lambda self, g, r: {"hits": Score(float(g[0] == r[0][0]), len(g))} if g else {},
                "one number, and of each answer",
                "give `per_picture`",
            ),
            (lambda self, g, r: {"hits": Score(1.0 / len(g), len(g))}, "No text, or one", "ZeroDivisionError"),
        ],
    )
    def test_one_thing_wrong(self, compute, promise, message):
        broken("metrics", self.metric(compute=compute), promise, message)

    def test_declarations(self):
        broken("metrics", self.metric(reads="books"), "Says what each number means", "set 'captions' or 'answers'")
