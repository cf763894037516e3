"""Does a caption use the words that people use of this picture, and not those they use of any?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import torch

from mmgraph.metrics import Meaning, Score, TextMetric
from mmgraph_metrics.caption_words import ngrams

LONGEST = 4
SIGMA = 6.0
Vector = list[dict[tuple[str, ...], float]]


class CiderDMetric(TextMetric):
    r"""CIDEr-D: likeness of tf-idf vectors of word runs, with a penalty on length.

    $$ \text{CIDEr-D}(c, S) = \frac{10}{4\,|S|} \sum_{n=1}^{4} \sum_{s \in S} e^{-(l_c - l_s)^2 / (2 \sigma^2)}\,
       \frac{\min(g_n(c), g_n(s)) \cdot g_n(s)}{\lVert g_n(c) \rVert\, \lVert g_n(s) \rVert} $$

    $g_n$ counts the runs of $n$ words, each weighed by the logarithm of how rare it is among the references of
    the pictures that are scored together; $l$ is the number of words less one, $\sigma = 6$. So the value depends
    on how many pictures are scored: numbers from samples of different size cannot be compared.

    Reference:
        Vedantam et al., CIDEr: Consensus-based Image Description Evaluation, 2015 (arXiv 1411.5726).
    """

    name = "cider_d"
    meanings = {
        "cider_d": Meaning(
            "CIDEr-D",
            "Likeness to people's captions of the picture, rare words counting more; 0 to 10.",
            "higher",
            headline=True,
        )
    }
    reads = "captions"

    def compute(self, given: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Score]:
        """Return CIDEr-D; nothing for fewer than two items, whose words would all be alike in rarity."""
        if len(given) < 2:
            return {}
        pictures: Counter[tuple[str, ...]] = Counter()
        for texts in references:
            pictures.update({gram for text in texts for counts in ngrams(text, LONGEST) for gram in counts})
        rarest = math.log(len(given))

        def vector(text: str) -> Vector:
            return [
                {gram: count * (rarest - math.log(max(1, pictures[gram]))) for gram, count in counts.items()}
                for counts in ngrams(text, LONGEST)
            ]

        values = []
        for text, texts in zip(given, references, strict=True):
            own, length = vector(text), _length(text)
            likeness = [_alike(own, vector(other), length - _length(other)) for other in texts]
            values.append(10 * sum(likeness) / len(likeness))
        scores = torch.tensor(values, dtype=torch.double)
        return {"cider_d": Score(float(scores.mean()), len(scores), per_picture=scores)}


def _length(text: str) -> int:
    return sum(ngrams(text, LONGEST)[1].values())


def _alike(own: Vector, other: Vector, longer: int) -> float:
    total = 0.0
    for left, right in zip(own, other, strict=True):
        shared = sum(min(weight, right.get(gram, 0.0)) * right.get(gram, 0.0) for gram, weight in left.items())
        norms = math.hypot(*left.values()) * math.hypot(*right.values())
        total += shared / norms if norms else 0.0
    return total / LONGEST * math.exp(-(longer**2) / (2 * SIGMA**2))
