"""Coloured squares on white: the smallest world with something to draw, name and ask."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmgraph.datasets import Dataset, Split
from mmgraph.sequence import Sample, Segment

COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 160, 60),
    "blue": (40, 80, 220),
    "yellow": (240, 200, 40),
    "purple": (140, 60, 180),
    "black": (30, 30, 30),
}
PLACES = {"top left": (0, 0), "top right": (0, 1), "bottom left": (1, 0), "bottom right": (1, 1)}
Item = tuple[str, str, int]  # colour, place, variant


class SquaresDataset(Dataset):
    """A square of one of six colours in one of four corners.

    Args:
        batch_size: Samples per step and process.
        tasks: Weight of each task in the training stream.
        image_size: Height and width of the pictures.
        seed: Decides the stream of training samples.
        steps_per_epoch: Batches of one epoch; None: one pass over the training items.
    """

    def __init__(
        self,
        batch_size: int = 32,
        tasks: Mapping[str, float] | None = None,
        *,
        image_size: int = 16,
        seed: int = 0,
        steps_per_epoch: int | None = None,
    ) -> None:
        super().__init__(batch_size, tasks, seed=seed, steps_per_epoch=steps_per_epoch)
        if image_size < 8:
            raise ValueError(f"image_size must be at least 8, not {image_size}.")
        self.image_size = image_size
        self.description = f"squares of {len(COLOURS)} colours in {len(PLACES)} corners, {image_size} pixels"

    def items(self, split: Split) -> Sequence[Item]:
        """Return colour, corner and variant: variants 0 to 7 are trained on, 8 and 9 held out."""
        variants = {"train": range(8), "val": range(8, 9), "test": range(9, 10)}[split]
        return [(colour, place, variant) for colour in COLOURS for place in PLACES for variant in variants]

    def picture(self, item: Item) -> Tensor:
        """Return the picture, uint8 `(3, image_size, image_size)`; the variant moves and sizes the square."""
        colour, place, variant = item
        half = self.image_size // 2
        side = half // 2 + variant % max(1, half // 4)
        row, column = (corner * half + (variant * 5 + corner) % (half - side + 1) for corner in PLACES[place])
        picture = torch.full((3, self.image_size, self.image_size), 255, dtype=torch.uint8)
        paint = torch.tensor(COLOURS[colour], dtype=torch.uint8)[:, None, None]
        picture[:, row : row + side, column : column + side] = paint
        return picture

    def sample(self, split: Split, item: Item, task: str, rng: random.Random) -> Sample:
        """Return one sample; a question asks for the colour or the corner."""
        colour, place, _ = item
        shown = Segment("image", self.picture(item))
        name = f"{colour} square {place}"
        meta: dict[str, Any] = {"concept": name}
        if task == "draw":
            segments = (Segment("text", name), Segment("image", shown.content, target=True))
        elif task == "name":
            segments = (shown, Segment("text", name, target=True))
        else:
            kind, answer, choices = rng.choice(
                [("colour", colour, list(COLOURS)), ("place", place, list(PLACES))]
            )
            meta |= {"kind": kind, "choices": choices}
            segments = (shown, Segment("text", f"which {kind}?"), Segment("text", answer, target=True))
        return Sample(segments, task, meta=meta)

    def contents(self, modality: str) -> Iterable[Any]:
        """Yield the training pictures, or every text that a sample may have."""
        if modality == "image":
            yield from (self.picture(item) for item in self.items("train"))
        else:
            for colour, place, _ in self.items("train"):
                yield from (f"{colour} square {place}", "which colour?", "which place?", colour, place)

    def evaluation(self, split: Split, task: str, limit: int | None = None) -> list[Sample]:
        """Return one sample of each item, always the same."""
        items = list(self.items(split))[:limit]
        drawn = [self.sample(split, item, task, random.Random(number)) for number, item in enumerate(items)]
        return [Sample(sample.segments, task, key, sample.meta) for key, sample in enumerate(drawn)]
