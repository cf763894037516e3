import random

import torch
from mmgraph_template.squares import COLOURS, SquaresDataset

from mmgraph.testing import assert_conforms


def test_keeps_the_contract():
    assert_conforms("datasets", SquaresDataset)


def test_the_named_corner_has_the_named_colour():
    dataset = SquaresDataset(image_size=16)
    for item in dataset.items("test"):
        colour, place, _ = item
        picture = dataset.picture(item)
        painted = (picture == torch.tensor(COLOURS[colour], dtype=torch.uint8)[:, None, None]).all(0)
        rows, columns = painted.nonzero().unbind(1)
        assert ("top" in place) == bool((rows < 8).all())
        assert ("left" in place) == bool((columns < 8).all())
        assert 16 <= int(painted.sum()) <= 64
        sample = dataset.sample("test", item, "ask", random.Random(0))
        assert sample.segments[-1].content in item
