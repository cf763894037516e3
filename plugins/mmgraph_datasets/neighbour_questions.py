"""Questions whose answer is in the neighbourhood and nowhere else: how many neighbours, and how many of a colour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mmgraph.adjacency import hashed
from mmgraph.graphs import MultimodalGraph

KINDS = ("neighbours", "neighbour_colour")
MOST = 5
COUNTS = (*map(str, range(MOST + 1)), "more")


class NeighbourQuestions:
    """Counts over the neighbours of a node, as far as texts and pictures show them.

    A colour counts where a neighbour's picture or, failing that, its text shows it, rightly or wrongly: what is
    asked can be read. For training, neighbours of other splits show nothing, as they do to the model.

    Args:
        graph: The graph that models read.
        shown: `(N,)`, the colour that each node shows, -1 for none.
        colours: Names of the colours.
    """

    def __init__(self, graph: MultimodalGraph, shown: Tensor, colours: Sequence[str]) -> None:
        self.graph = graph
        self.shown = shown
        self.colours = tuple(colours)
        held_out = [nodes for split, nodes in graph.splits.items() if split != "train"]
        self.readable = torch.ones(graph.num_nodes, dtype=torch.bool)
        self.readable[torch.cat(held_out)] = False

    def neighbours(self, item: int) -> Tensor:
        """Return the different neighbours of a node."""
        return torch.from_numpy(np.unique(self.graph.adjacency.gather(np.array([item]))[1]))

    def ask(self, item: int, kind: str, draw: int, *, training: bool) -> tuple[str, str]:
        """Return a question and its answer; every second question is of a colour that a neighbour shows.

        Args:
            item: The node.
            kind: One of `KINDS`.
            draw: Decides the colour.
            training: Whether neighbours of other splits show nothing.
        """
        near = self.neighbours(item)
        if kind == "neighbours":
            return "how many neighbours ?", COUNTS[min(len(near), MOST + 1)]
        seen = self.shown[near[self.readable[near]] if training else near]
        there = seen[seen >= 0].unique()
        first, second = (int(part % np.uint64(2**31)) for part in hashed(draw, item, np.arange(2)))
        colour = int(there[second % len(there)]) if len(there) and first % 2 else second % len(self.colours)
        count = int((seen == colour).sum())
        return f"how many {self.colours[colour]} neighbours ?", COUNTS[min(count, MOST + 1)]

    def texts(self, kinds: Sequence[str]) -> list[str]:
        """Return every question and answer, for the tokenizer."""
        asked = ["how many neighbours ?"] if "neighbours" in kinds else []
        if "neighbour_colour" in kinds:
            asked += [f"how many {colour} neighbours ?" for colour in self.colours]
        return [*asked, *(COUNTS if asked else ())]
