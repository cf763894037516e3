from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from mmgraph import testing
from mmgraph.datasets import Dataset
from mmgraph.sequence import Sample, Segment
from tests.testing.broken import broken


class Squares(Dataset):
    """Grey squares with their brightness as a name."""

    supported_tasks = ("draw", "name")

    def __init__(self, batch_size: int = 4) -> None:
        super().__init__(batch_size)

    def items(self, split: str) -> range:
        return {"train": range(20), "val": range(20, 24), "test": range(24, 30)}[split]

    def picture(self, item: int) -> Tensor:
        return torch.full((3, 4, 4), 8 * item, dtype=torch.uint8)

    def sample(self, split: str, item: int, task: str, rng: random.Random) -> Sample:
        text, picture = f"{rng.choice(('shade', 'grey'))} {item}", self.picture(item)
        if task == "draw":
            return Sample((Segment("text", text), Segment("image", picture, True)), task, item)
        return Sample((Segment("image", picture), Segment("text", text, True)), task, item)

    def contents(self, modality: str) -> Iterator[Any]:
        for item in self.items("train"):
            yield self.picture(item) if modality == "image" else f"shade {item} grey"

    def evaluation(self, split: str, task: str, limit: int | None = None) -> list[Sample]:
        return [self.sample(split, item, task, random.Random(item)) for item in self.items(split)][:limit]


class TestDatasets:
    def dataset(self, **changes: Any) -> type:
        return type("Odd", (Squares,), {"__doc__": "Odd.", **changes})

    def test_a_good_one(self):
        testing.assert_conforms("datasets", Squares)

    def test_the_global_random_state(self):
        def sample(self, split, item, task, rng):
            return Squares.sample(self, split, item, task, random)

        cls = self.dataset(sample=sample)
        broken("datasets", cls, "is a function of (seed, number)", "Python's global random state")
        broken("datasets", cls, "Every task gives samples", "the same rng gives other samples")

    def test_splits_that_overlap(self):
        cls = self.dataset(items=lambda self, split: range(20))
        broken("datasets", cls, "do not overlap", "shares 0 in 'train'")

    def test_fitting_on_test_pictures(self):
        def contents(self, modality):
            everything = [item for split in ("train", "test") for item in self.items(split)]
            texts = [f"{word} {item}" for item in everything for word in ("shade", "grey")]
            return iter(map(self.picture, everything)) if modality == "image" else iter(texts)

        found = testing.check("datasets", self.dataset(contents=contents))
        (error,) = [check.error for check in found if check.error is not None]
        assert "contents('image') holds 6 contents that only the test split shows" in error

    def test_fitting_on_test_texts(self):
        def contents(self, modality):
            texts = [f"{word} {item}" for item in range(30) for word in ("shade", "grey")]
            return Squares.contents(self, modality) if modality == "image" else iter(texts)

        broken("datasets", self.dataset(contents=contents), "from training items only", "contents('text')")

    def test_an_evaluation_that_changes(self):
        def evaluation(self, split, task, limit=None):
            return Squares.evaluation(self, split, task)[self.seed :][:limit]

        broken("datasets", self.dataset(evaluation=evaluation), "Evaluation lists are fixed", "fix the list")

    def test_no_target(self):
        def sample(self, split, item, task, rng):
            return Sample((Segment("image", self.picture(item).float()),), task, item)

        broken("datasets", self.dataset(sample=sample), "contents of the right types", "is not a target")

    def test_a_loader_that_starts_again(self):
        class Forgetful(Squares):
            """Starts every epoch at its first batch."""

            def train_dataloader(self) -> Any:
                numbers = range(self.num_batches * self.batch_size)
                samples = [self.training_sample(number) for number in numbers]
                return torch.utils.data.DataLoader(samples, self.batch_size, collate_fn=list)

        broken("datasets", Forgetful, "resumes at the trainer's step", "resumed after 2 steps it reads")
