"""A world of single-coloured squares, small enough to measure a model on in a second."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmgraph.datasets import Dataset, Protocol
from mmgraph.sequence import Sample, Segment

COLORS = {"red": (220, 30, 30), "green": (30, 170, 60), "blue": (40, 60, 210), "white": (240, 240, 240)}
SIZE = 8


class Squares(Dataset):
    """Squares of a colour and a brightness that tells them apart; the last fifth is held out.

    Args:
        count: Number of pictures.
        empty: Whether the held-out split has nothing.
        pictures: Whether samples hold pictures.
    """

    description = "squares of four colours <made up>"
    credits = "Squares: nobody & everybody."

    def __init__(
        self,
        tasks: Mapping[str, float] | None = None,
        *,
        count: int = 40,
        empty: bool = False,
        pictures: bool = True,
        protocol: Protocol = "random",
    ) -> None:
        super().__init__(4, tasks, protocol=protocol)
        self.count = count
        self.empty = empty
        self.pictures = pictures

    def items(self, split: str) -> Sequence[int]:
        held_out = range(self.count * 4 // 5, self.count)
        if split == "train":
            return range(self.count * 4 // 5)
        return held_out if not self.empty else []

    def picture(self, item: int) -> Tensor:
        color = torch.tensor(list(COLORS.values())[item % 4], dtype=torch.float)
        square = torch.full((3, SIZE, SIZE), 250.0)
        side = 2 + item // 4 % 5
        square[:, :side, : SIZE - item // 20 % 4] = (color * (1 - item / (2 * self.count)))[:, None, None]
        return square.to(torch.uint8)

    def name(self, item: int) -> str:
        return f"{list(COLORS)[item % 4]} square {item}"

    def sample(self, split: str, item: int, task: str, rng: random.Random) -> Sample:
        name = self.name(item)
        meta: dict[str, Any] = {"item": item, "concept": name}
        image = Segment("image", self.picture(item)) if self.pictures else None
        if task == "draw":
            target = Segment("image", self.picture(item) if self.pictures else None, target=True)
            parts = [Segment("text", name), target] if self.pictures else [Segment("text", name)]
            return Sample(tuple(parts), task, item, {**meta, "caption": name})
        question = [Segment("text", "which colour ?")] if task == "ask" else []
        answer = name.split()[0] if task == "ask" else name
        if task == "ask":
            meta |= {"kind": "colour", "choices": tuple(COLORS)}
        segments = [*([image] if image else []), *question, Segment("text", answer, target=True)]
        return Sample(tuple(segments), task, item, {**meta, "answer": answer})

    def contents(self, modality: str) -> Iterable[Any]:
        if modality == "image":
            return (self.picture(item) for item in self.items("train"))
        return ["which colour ?", *COLORS, *(self.name(item) for item in self.items("train"))]

    def evaluation(self, split: str, task: str, limit: int | None = None) -> list[Sample]:
        items = list(self.items(split))[:limit]
        return [self.sample(split, item, task, random.Random(0)) for item in items]
