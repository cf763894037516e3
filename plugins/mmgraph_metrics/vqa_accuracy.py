"""Is an answer one that people gave? Right in part where few of them did."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mmgraph.metrics import Meaning, Score, TextMetric
from mmgraph_metrics.vqa_answers import normal


class VQAAccuracyMetric(TextMetric):
    r"""VQA accuracy: an answer that three of the other people gave is right.

    $$ \text{accuracy} = \frac{1}{n} \sum_{i=1}^{n}
       \min\!\left(1, \tfrac{1}{3}\,\#\{j \ne i : a_j = \text{answer}\}\right) $$

    $n$ is ten in VQA: each person is left out once, so an answer that 1, 2, 3 of ten gave has .3, .6, .9, and
    from four on 1. Answers are compared in one form (case, punctuation, articles, number words, contractions). The
    official script brings them to that form only where the ten differ among themselves; this one always does.

    Reference:
        Antol et al., VQA: Visual Question Answering, 2015 (arXiv 1505.00468).
        Goyal et al., Making the V in VQA Matter, 2017 (arXiv 1612.00837).
    """

    name = "vqa_accuracy"
    meanings = {
        "vqa_accuracy": Meaning("VQA accuracy", "Right where three of the other people gave the answer.", "higher")
    }
    reads = "answers"

    def compute(self, given: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Score]:
        """Return VQA accuracy; nothing if there are no answers."""
        if not given:
            return {}
        values = [_accuracy(answer, people) for answer, people in zip(given, references, strict=True)]
        scores = torch.tensor(values, dtype=torch.double)
        return {"vqa_accuracy": Score(float(scores.mean()), len(scores), per_picture=scores)}


def _accuracy(answer: str, people: Sequence[str]) -> float:
    wanted = normal(answer)
    agree, all_of_them = sum(normal(other) == wanted for other in people), len(people)
    if all_of_them == 1:
        return float(agree)
    without_one, without_another = min(1, (agree - 1) / 3), min(1, agree / 3)
    return (agree * without_one + (all_of_them - agree) * without_another) / all_of_them
