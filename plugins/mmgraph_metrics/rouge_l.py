"""How long a run of words, gaps allowed, has a caption in common with people's?"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mmgraph.metrics import Meaning, Score, TextMetric
from mmgraph_metrics.caption_words import words

BETA = 1.2


class RougeLMetric(TextMetric):
    r"""ROUGE-L: the longest common subsequence of words, as precision and recall.

    $$ \text{ROUGE-L} = \frac{(1 + \beta^2)\, p\, r}{r + \beta^2 p}, \qquad
       p = \max_s \frac{\text{LCS}(c, s)}{|c|}, \quad r = \max_s \frac{\text{LCS}(c, s)}{|s|}, \quad \beta = 1.2 $$

    As in the captioning benchmarks, $p$ and $r$ may come from different references $s$ of one picture.

    Reference:
        Lin, ROUGE: A Package for Automatic Evaluation of Summaries, 2004 (https://aclanthology.org/W04-1013).
    """

    name = "rouge_l"
    meanings = {"rouge_l": Meaning("ROUGE-L", "Longest common subsequence with people's captions; 0 to 1.", "higher")}
    reads = "captions"

    def compute(self, given: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Score]:
        """Return ROUGE-L; nothing if there are no captions."""
        if not given:
            return {}
        values = [_score(words(text), list(map(words, texts))) for text, texts in zip(given, references, strict=True)]
        scores = torch.tensor(values, dtype=torch.double)
        return {"rouge_l": Score(float(scores.mean()), len(scores), per_picture=scores)}


def _score(own: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    common = [_common(own, other) for other in references]
    precision = max(common) / max(1, len(own))
    recall = max(found / max(1, len(other)) for found, other in zip(common, references, strict=True))
    if not precision or not recall:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def _common(left: Sequence[str], right: Sequence[str]) -> int:
    """Return the length of the longest common subsequence."""
    row = [0] * (len(right) + 1)
    for word in left:
        before = 0  # the row above, one to the left
        for place, other in enumerate(right, start=1):
            above = row[place]
            row[place] = before + 1 if word == other else max(above, row[place - 1])
            before = above
    return row[-1]
