from __future__ import annotations

import pytest
import torch

from mmgraph.evaluation import captioning
from mmgraph.evaluation.examples import Question
from mmgraph.evaluation.understanding import Answer
from mmgraph.metrics import Meaning, Score, TextMetric


class Hits(TextMetric):
    """Share of texts that are among the references."""

    name = "hits"
    meanings = {"hits": Meaning("Hits", "Share of texts that are references.", "higher")}
    reads = "captions"

    def compute(self, given, references):
        values = torch.tensor([float(text in own) for text, own in zip(given, references, strict=True)])
        return {"hits": Score(float(values.mean()), len(values), per_picture=values)}


class Answers(Hits):
    reads = "answers"


def picture(level: int) -> torch.Tensor:
    return torch.full((3, 8, 8), level, dtype=torch.uint8)


def named(concept, people, level=0, kind="name"):
    return Question(kind, "", picture(level), people[0], (), concept, tuple(people))


@pytest.fixture
def training():
    return [
        named("t0", ["a dark thing", "a thing"], 10),
        named("t1", ["a light thing", "a thing"], 240),
        named("t2", ["something else", "A  THING"], 130),
    ]


def test_scores_stand_beside_captions_that_cost_nothing(training):
    said = [
        Answer(named("a", ["a light thing", "bright"], 238), "bright"),
        Answer(named("b", ["a thing", "dark"], 12), "wrong"),
    ]
    (row,) = captioning.score(said, training, [Hits(), Answers()]).values()
    assert (row["value"], row["n"]) == (0.5, 2)
    assert row["ci95"][0] <= 0.5 <= row["ci95"][1]
    # "a thing" is training's most frequent caption; the picture most alike is the light one, then the dark one
    assert row["baselines"] == {"frequent_caption": 0.5, "nearest_picture": 0.5}


def test_a_trained_picture_is_not_its_own_nearest(training):
    said = [Answer(named("t1", ["a light thing", "a thing"], 240), "x")]
    assert captioning.baselines(said, training)["nearest_picture"] != ["a light thing"]


def test_nothing_without_several_captions_or_a_metric(training):
    one = [Answer(named("a", ["only one"]), "only one")]
    several = [Answer(named("a", ["one", "two"]), "one")]
    asked = [Answer(named("a", ["one", "two"], kind="colour"), "one")]
    assert captioning.score(one, training, [Hits()]) == {}
    assert captioning.score(asked, training, [Hits()]) == {}
    assert captioning.score(several, training, [Answers()]) == {}
    assert captioning.score(several, [], [Hits()])["hits"]["baselines"] == {}
