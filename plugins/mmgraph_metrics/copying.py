"""Does the model compose, or hand out training pictures?

Every drawing's distance to its nearest training picture stands beside what real, unseen pictures have: far
below 1 for unseen captions is copying. For trained captions the training picture is the right answer, so
there a small distance is no fault.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mmgraph.metrics import Meaning, PictureMetric, PictureSet, Score


class CopyingMetric(PictureMetric):
    r"""Mean distance to the nearest training picture, relative to the true pictures'.

    $\overline{\min_t \|d_i - t\|} \;/\; \overline{\min_{t \ne x_i} \|x_i - t\|}$ with drawings $d$, true
    pictures $x$ and training pictures $t$; once in pixels, once in features. Training pictures with the very
    pixels of $x_i$ are passed over below the line, so that the measure is the same for trained and unseen
    captions.

    Reference:
        Meehan et al., A Non-Parametric Test to Detect Data-Copying in Generative Models, 2020 (arXiv 2004.05675).
    """

    name = "copying"
    meanings = {
        f"training_distance_{space}": Meaning(
            f"Distance to training, {space}",
            f"Mean distance in {space} to the nearest training picture, relative to that of real pictures. "
            "Far below 1 for unseen captions is copying; for trained ones that picture is the answer.",
            "none",
        )
        for space in ("pixels", "features")
    }
    real = "same"

    def compute(
        self, drawn: PictureSet, true: PictureSet, train: PictureSet, *, generator: torch.Generator
    ) -> dict[str, Score]:
        """Return the two ratios; nothing without training pictures other than the true ones."""
        if not len(drawn) or not len(train):
            return {}
        numbers: dict[bytes, int] = {}
        trained = torch.tensor([numbers.setdefault(key, len(numbers)) for key in train.identities()])
        asked = torch.tensor([numbers.get(key, -1) for key in true.identities()])
        same = asked[:, None] == trained[None, :]  # (N, T)
        scores = {}
        for space in ("pixels", "features"):
            reference = nearest(getattr(true, space), getattr(train, space), same)
            reference = reference[reference.isfinite()].double()
            if not len(reference) or float(reference.mean()) == 0:
                continue
            distance = nearest(getattr(drawn, space), getattr(train, space)).double()
            scores[f"training_distance_{space}"] = Score(
                float(distance.mean() / reference.mean()), len(drawn), resampled=_ratio(distance, reference)
            )
        return scores


def nearest(left: Tensor, right: Tensor, passed_over: Tensor | None = None) -> Tensor:
    """Return the distance of each row of `left` `(N, F)` to its nearest row of `right` `(M, F)`, `(N,)`.

    The nearest is found by the fast product form, which rounds the distance of equal rows to above zero; so
    the distance to the one found is taken again by subtraction, and a copy has zero.

    Args:
        left: `(N, F)`.
        right: `(M, F)`.
        passed_over: `(N, M)` bool, rows not to be considered; a row with none left gets infinity.
    """
    distance = torch.cdist(left, right)
    if passed_over is not None:
        distance = distance.masked_fill(passed_over, torch.inf)
    least, found = distance.min(1)
    exact = (left - right[found]).norm(dim=1)
    return torch.where(least.isfinite(), exact, least)


def _ratio(above: Tensor, below: Tensor) -> Callable[[Tensor], Tensor] | None:
    if len(above) != len(below):
        return None
    return lambda counts: (counts.double() @ above) / (counts.double() @ below)
