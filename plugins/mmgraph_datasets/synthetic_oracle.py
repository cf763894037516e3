"""Marks pictures of nodes: which colour and shape a drawing shows."""

from __future__ import annotations

import torch
from torch import Tensor

from mmgraph_datasets.shapes_oracle import read
from mmgraph_datasets.shapes_world import COLOURS
from mmgraph_datasets.synthetic_world import GREY

LOST = {"colour": False, "shape": False, "all": False}


def check(picture: Tensor, colour: str, shape: str) -> dict[str, bool]:
    """Return whether a picture shows one thing of a colour, of a shape, and both; grey is no colour.

    Args:
        picture: uint8 `(3, size, size)`, 16 px or more.
        colour: The name of the right colour.
        shape: The name of the right shape.
    """
    size = picture.shape[-1]
    room = torch.full((3, 2 * size, 2 * size), 255, dtype=torch.uint8)
    room[:, :size, :size] = picture.cpu()  # the oracle knows things of scenes, which are half as large
    things = read(room)
    if len(things) != 1:
        return dict(LOST)
    known = {**COLOURS, "": GREY}

    def distance(name: str) -> int:
        return sum((own - usual) ** 2 for own, usual in zip(things[0].rgb, known[name], strict=True))

    right = {"colour": min(known, key=distance) == colour, "shape": things[0].shape == shape}
    return {**right, "all": all(right.values())}
