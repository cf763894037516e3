"""How many runs of up to four words of the captions are in people's captions of the same picture?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from mmgraph.metrics import Meaning, Score, TextMetric
from mmgraph_metrics.caption_words import ngrams, words

LONGEST = 4


class Bleu4Metric(TextMetric):
    r"""BLEU-4 of all captions together: precision of word runs, with a penalty on captions that are too short.

    $$ \text{BLEU-4} = \min\!\left(1, e^{1 - r/c}\right) \prod_{n=1}^{4} p_n^{1/4} $$

    $p_n$ is the share of the captions' runs of $n$ words that a reference of the same picture has, each run
    counted at most as often as the reference with most of it; $c$ is the number of words of all captions, $r$ that
    of each picture's reference of the nearest length (the shorter of two).

    Reference:
        Papineni et al., BLEU: a Method for Automatic Evaluation of Machine Translation, 2002
            (doi 10.3115/1073083.1073135).
    """

    name = "bleu_4"
    meanings = {
        "bleu_4": Meaning("BLEU-4", "Precision of runs of one to four words, all captions together; 0 to 1.", "higher")
    }
    reads = "captions"

    def compute(self, given: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Score]:
        """Return BLEU-4; nothing if there are no captions."""
        if not given:
            return {}
        rows = torch.tensor(
            [_counts(text, texts) for text, texts in zip(given, references, strict=True)], dtype=torch.double
        )

        def resampled(counts: Tensor) -> Tensor:
            return _bleu(counts.double() @ rows)

        value = float(_bleu(rows.sum(0, keepdim=True)))
        return {"bleu_4": Score(value, len(given), resampled=resampled)}


def _counts(text: str, references: Sequence[str]) -> list[int]:
    """Return what corpus BLEU adds up: right runs of each length, runs of each length, words, words wanted."""
    own = ngrams(text, LONGEST)
    right = []
    for n, counts in enumerate(own):
        most: Counter[tuple[str, ...]] = Counter()
        for reference in references:
            most |= ngrams(reference, LONGEST)[n]
        right.append(sum(min(count, most[gram]) for gram, count in counts.items()))
    size = len(words(text))
    wanted = min((len(words(reference)) for reference in references), key=lambda length: (abs(length - size), length))
    return [*right, *(sum(counts.values()) for counts in own), size, wanted]


def _bleu(sums: Tensor) -> Tensor:
    """Return BLEU-4 `(R,)` of sums `(R, 10)`."""
    right, runs, size, wanted = sums[:, :LONGEST], sums[:, LONGEST : 2 * LONGEST], sums[:, -2], sums[:, -1]
    precision = (right / runs.clamp_min(1)).clamp_min(0).prod(1).pow(1 / LONGEST)
    brevity = torch.exp((1 - wanted / size.clamp_min(1)).clamp_max(0))
    return torch.where(size > 0, precision * brevity, 0.0)
