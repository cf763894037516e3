import torch
from mmgraph_template.mean_colour import MeanColourMetric

from mmgraph.metrics import PictureSet
from mmgraph.testing import assert_conforms


def test_keeps_the_contract():
    assert_conforms("metrics", MeanColourMetric)


def test_black_is_far_from_white():
    black = PictureSet(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.Tensor.float)
    white = PictureSet(torch.full((2, 3, 4, 4), 255, dtype=torch.uint8), torch.Tensor.float)
    scores = MeanColourMetric().compute(black, white, white, generator=torch.Generator())
    assert abs(scores["mean_colour"].value - 3**0.5) < 1e-6
    assert (
        MeanColourMetric().compute(white, white, black, generator=torch.Generator())["mean_colour"].value == 0
    )
