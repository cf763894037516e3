from __future__ import annotations

from typing import Any

import pytest
import torch

from mmgraph import testing
from mmgraph.metrics import Meaning, PictureMetric, Score
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
