"""From flat lists of neighbours to padded rows; numpy, over all rows of a batch at once."""

from __future__ import annotations

import numpy as np
import torch

from mmgraph.adjacency import hashed
from mmgraph.graph_samplers import Neighbourhood

ENOUGH = 4
"""Draw by hash from lists this many times as long as what is wanted; rank shorter lists as a whole."""


def ranks(groups: np.ndarray) -> np.ndarray:
    """Return the place of each entry within its run of equal values."""
    if not len(groups):
        return np.zeros(0, np.int64)
    first = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
    return np.arange(len(groups)) - np.repeat(first, np.diff(np.r_[first, len(groups)]))


def pad(
    count: int,
    width: int,
    rows: np.ndarray,
    nodes: np.ndarray,
    *,
    hop: np.ndarray | int = 0,
    relation: np.ndarray | int = -1,
    weight: np.ndarray | float = 1.0,
) -> Neighbourhood:
    """Return `count` rows of the first `width` entries each; entries come row by row, the nearest first."""
    place = ranks(rows)
    kept = place < width
    found = Neighbourhood.empty(count, width)
    at = torch.from_numpy(rows[kept]), torch.from_numpy(place[kept])
    for name, values in (("nodes", nodes), ("hop", hop), ("relation", relation), ("weight", weight), ("valid", True)):
        column = getattr(found, name)
        flat = np.broadcast_to(np.asarray(values), rows.shape)[kept]
        column[at] = torch.from_numpy(flat.copy()).to(column.dtype)
    return found


def distinct(keys: np.ndarray, sizes: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (row, number): for each key at most `width` different numbers below its size, drawn by hash."""
    columns = np.arange(ENOUGH * width)
    drawn = hashed(keys[:, None], columns)
    short = sizes <= ENOUGH * width
    numbers = (drawn % np.maximum(sizes, 1)[:, None].astype(np.uint64)).astype(np.int64)
    # a short list: each of its numbers once, in the order of its hash
    number = np.where(short[:, None], columns, numbers)
    inside = ~short[:, None] | (columns < sizes[:, None])
    order = np.where(short[:, None], drawn, columns.astype(np.uint64))
    row = np.broadcast_to(np.arange(len(keys))[:, None], number.shape)
    row, number, order = row[inside], number[inside], order[inside]
    first = np.lexsort((order, number, row))
    once = np.r_[True, (row[first][1:] != row[first][:-1]) | (number[first][1:] != number[first][:-1])]
    kept = first[once[: len(first)]]
    kept = kept[np.lexsort((order[kept], row[kept]))]
    kept = kept[ranks(row[kept]) < width]
    return row[kept], number[kept]
