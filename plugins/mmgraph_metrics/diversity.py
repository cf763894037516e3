"""Do the drawings differ from one another as much as real pictures do?

A model that draws one good picture for every caption has collapsed; its mean pairwise distance shows it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmgraph.metrics import Meaning, PictureMetric, PictureSet, Score, mean_of_pairs, pairwise


class DiversityMetric(PictureMetric):
    r"""Mean distance between drawings, relative to the true pictures'.

    $\overline{\|f(d_i) - f(d_j)\|}_{i \ne j} \;/\; \overline{\|f(t_i) - f(t_j)\|}_{i \ne j}$ in features: 1
    means as diverse as the true pictures, 0 one and the same drawing. Noise can exceed 1.

    Reference:
        Zhu et al., Toward Multimodal Image-to-Image Translation, 2017 (arXiv 1711.11586; mean pairwise feature
            distance).
    """

    name = "diversity"
    meanings = {
        "diversity": Meaning(
            "Diversity", "Mean feature distance between drawings, relative to the true pictures'.", "one"
        ),
    }
    real = "other"

    def compute(
        self, drawn: PictureSet, true: PictureSet, train: PictureSet, *, generator: torch.Generator
    ) -> dict[str, Score]:
        """Return the ratio; nothing if either side has fewer than two different pictures."""
        if min(len(drawn), len(true)) < 2:
            return {}
        between_drawn = pairwise(drawn.features, drawn.features).double()
        between_true = pairwise(true.features, true.features).double()
        whole = mean_of_pairs(between_true, torch.ones(1, len(true), dtype=torch.double))
        if float(whole) == 0:
            return {}
        value = mean_of_pairs(between_drawn, torch.ones(1, len(drawn), dtype=torch.double)) / whole

        def resampled(counts: Tensor) -> Tensor:
            counts = counts.double()
            return mean_of_pairs(between_drawn, counts) / mean_of_pairs(between_true, counts)

        paired = len(drawn) == len(true)
        return {"diversity": Score(float(value), len(drawn), resampled=resampled if paired else None)}
