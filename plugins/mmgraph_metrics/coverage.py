"""Fidelity and variety apart: density and coverage.

Around each true picture lies a ball that reaches to its k-th nearest true neighbour. Density asks in how
many balls a drawing falls, coverage how many balls hold a drawing.
"""

from __future__ import annotations

import torch

from mmgraph.metrics import Meaning, PictureMetric, PictureSet, Score, pairwise


class CoverageMetric(PictureMetric):
    r"""Density and coverage in features, with balls to the 5th nearest neighbour.

    With $B_i$ the ball around true picture $i$, $\text{density} = \frac{1}{k\,n}\sum_j \sum_i [d_j \in B_i]$
    and $\text{coverage} = \frac{1}{m}\sum_i [\exists j: d_j \in B_i]$. Drawings that were more true pictures
    would have density 1 and, of equal number, coverage near $1 - 2^{-k}$.

    Args:
        num_neighbors: The k above.

    Reference:
        Naeem et al., Reliable Fidelity and Diversity Metrics for Generative Models, 2020 (arXiv 2002.09797).
    """

    name = "coverage"
    meanings = {
        "density": Meaning("Density", "How densely true pictures surround the drawings.", "higher"),
        "coverage": Meaning("Coverage", "Share of true pictures that have a drawing in their neighbourhood.", "higher"),
    }
    real = "other"

    def __init__(self, num_neighbors: int = 5) -> None:
        if num_neighbors < 1:
            raise ValueError(f"num_neighbors must be at least 1, not {num_neighbors}.")
        self.num_neighbors = num_neighbors

    def compute(
        self, drawn: PictureSet, true: PictureSet, train: PictureSet, *, generator: torch.Generator
    ) -> dict[str, Score]:
        """Return density and coverage; nothing unless there are more than k true pictures."""
        k = self.num_neighbors
        if len(true) <= k or not len(drawn):
            return {}
        between = pairwise(true.features, true.features).fill_diagonal_(torch.inf)
        radius = between.kthvalue(k, dim=1).values  # (M,)
        inside = pairwise(true.features, drawn.features) <= radius[:, None]  # (M, N)
        density = inside.double().sum(0) / k
        covered = inside.any(1).double()
        return {
            "density": Score(float(density.mean()), len(drawn), per_picture=density),
            "coverage": Score(float(covered.mean()), len(drawn), per_picture=covered),
        }
