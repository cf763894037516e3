"""How far are the drawings from the true pictures in mean colour? The simplest metric with a scale."""

from __future__ import annotations

import torch

from mmgraph.metrics import Meaning, PictureMetric, PictureSet, Score


class MeanColourMetric(PictureMetric):
    r"""Mean distance \( \lVert \bar d_i - \bar t_i \rVert \) between the mean colours of drawing and truth.

    0 is the same mean colour; the distance from black to white is \( \sqrt{3} \).
    """

    name = "mean_colour"
    meanings = {
        "mean_colour": Meaning(
            "Colour error", "Distance of the mean colours of drawing and true picture.", "lower"
        ),
    }
    real = "other"

    def compute(
        self, drawn: PictureSet, true: PictureSet, train: PictureSet, *, generator: torch.Generator
    ) -> dict[str, Score]:
        """Return the mean distance; nothing if there are no pairs."""
        if len(drawn) == 0 or len(drawn) != len(true):
            return {}
        colours = [
            pictures.pictures.float().div(255).mean(dim=(2, 3)) for pictures in (drawn, true)
        ]  # (n, C) each
        distance = (colours[0] - colours[1]).norm(dim=1)
        return {"mean_colour": Score(float(distance.double().mean()), len(drawn), per_picture=distance)}
