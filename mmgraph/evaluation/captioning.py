"""How near a model's captions come to people's, where a picture has several, beside captions that cost nothing.

Each number stands next to the same number for: one and the same caption for every picture, the most frequent of
training (`frequent_caption`), and the caption of the training picture that looks most alike (`nearest_picture`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F

from mmgraph.evaluation import drawing, examples
from mmgraph.evaluation.examples import Question, stack
from mmgraph.evaluation.features import features
from mmgraph.evaluation.understanding import Answer, normal
from mmgraph.metrics import TextMetric

KIND = "name"
LOOKED_AT = 500
"""Training pictures among which the most alike is looked for: features of more would cost more than the captions."""


def captions(answers: Sequence[Answer]) -> list[Answer]:
    """Return the names among some answers that several people's captions can be held against."""
    return [item for item in answers if item.question.kind == KIND and len(item.question.people) > 1]


def score(
    answers: Sequence[Answer], training: Sequence[Question], metrics: Sequence[TextMetric], *, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Return value, n, a 95 % interval and baselines of each score; nothing where no picture has several captions.

    Args:
        answers: What the model said.
        training: All questions about training pictures, naming among them.
        metrics: Metrics of captions.
        seed: Decides the resamples.
    """
    said = captions(answers)
    measures = [metric for metric in metrics if metric.reads == "captions"]
    if not said or not measures:
        return {}
    references = [item.question.people for item in said]
    concepts = [item.question.concept for item in said]
    stand_ins = baselines(said, [question for question in training if question.kind == KIND])
    found: dict[str, dict[str, Any]] = {}
    for metric in measures:
        scores = metric.compute([item.given for item in said], references)
        rows = {name: drawing.entry(value, concepts, seed) for name, value in scores.items()}
        for stand_in, texts in stand_ins.items():
            for name, value in metric.compute(texts, references).items():
                if name in rows:
                    rows[name]["baselines"][stand_in] = value.value
        found.update(rows)
    return found


def baselines(said: Sequence[Answer], training: Sequence[Question]) -> dict[str, list[str]]:
    """Return the captions that stand in for the model's, by name; nothing without training captions."""
    if not training:
        return {}
    counts = Counter(normal(text) for question in training for text in question.people)
    favourite = min(counts, key=lambda text: (-counts[text], text))
    known = examples.pick(training, LOOKED_AT)
    asked = F.normalize(features(stack((item.question for item in said), "the captions")), dim=1)
    pool = F.normalize(features(stack(known, "the training captions")), dim=1)
    likeness = asked @ pool.T  # (said, known)
    own = torch.tensor([[a.question.concept == k.concept for k in known] for a in said])
    nearest = likeness.masked_fill(own, -torch.inf).argmax(1).tolist()  # its own caption would be no baseline
    return {
        "frequent_caption": [favourite] * len(said),
        "nearest_picture": [known[place].answer for place in nearest],
    }
