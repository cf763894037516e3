"""In which order the tokens of a picture are read: permutations of the places of a grid."""

from __future__ import annotations

import torch
from torch import Tensor

ORDERS = ("raster", "reversed", "spiral", "random")


def visited(order: str, rows: int, columns: int, seed: int) -> Tensor:
    """Return the place in raster order of the first, second, ... token read, `(rows * columns,)`.

    `spiral` runs clockwise from the top left along the rim, then inwards; `random` is one permutation for all
    pictures, decided by the seed.
    """
    places = torch.arange(rows * columns)
    if order == "reversed":
        return places.flip(0)
    if order == "random":
        return torch.randperm(len(places), generator=torch.Generator().manual_seed(seed))
    if order == "spiral":
        left, turned = places.view(rows, columns), []
        while left.numel():
            turned.append(left[0])
            left = left[1:].rot90(1)  # the rim's next side comes to the top
        return torch.cat(turned)
    return places
