"""The suite of data sets: a stream that is a function of (seed, number), and splits that stay apart."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice
from types import SimpleNamespace
from typing import Any

import torch

from mmgraph.datasets import Dataset, Split
from mmgraph.graphs import GraphNode
from mmgraph.sequence import MODALITIES, Sample
from mmgraph.testing.suite import Suite, equal, expect, no_global_randomness

SPLITS: tuple[Split, ...] = ("train", "val", "test")
FEW = 12


class DatasetSuite(Suite):
    """What `mmgraph.datasets.Dataset` promises."""

    contract = Dataset

    def check_stream(self) -> None:
        """A training sample is a function of (seed, number), in whatever order samples are asked for."""
        first, second, other = self.make(), self.make(), self.make()
        other.seed += 1
        numbers = [0, 1, 2, 5, len(first.items("train")) + 3]
        with no_global_randomness("the training stream"):
            forward = [first.training_sample(number) for number in numbers]
        backward = [second.training_sample(number) for number in reversed(numbers)][::-1]
        for number, left, right in zip(numbers, forward, backward, strict=True):
            expect(_same(left, right), f"sample {number} differs at the second call; draw from `rng` only.")
            expect(left.key == number, f"sample {number} has the key {left.key}.")
        changed = [other.training_sample(number) for number in range(FEW)]
        moved = any(not _same(first.training_sample(k), sample) for k, sample in enumerate(changed))
        expect(moved or len(first.items("train")) < 2, "another seed gives the same stream.")

    def check_loader(self) -> None:
        """Loading resumes at the trainer's step, and several processes share one process's stream."""
        dataset = self.make()
        dataset.steps_per_epoch = 4
        alone = [_keys(batch) for batch in dataset.train_dataloader()]
        expect(len(alone) == 4, f"an epoch of 4 steps gave {len(alone)} batches.")
        sizes = {len(batch) for batch in alone}
        wanted = {dataset.batch_size}
        expect(sizes == wanted, f"batches have {sizes} samples; batch_size says {wanted}.")
        dataset.trainer = _trainer(step=2)
        resumed = [_keys(batch) for batch in dataset.train_dataloader()]
        expect(resumed == alone[2:], f"resumed after 2 steps it reads {resumed}, not {alone[2:]}.")
        parts = []
        for rank in range(2):
            dataset.trainer = _trainer(rank=rank, world=2)
            parts.append(_keys(next(iter(dataset.train_dataloader()))))
        both = parts[0] + parts[1]
        expect(both == alone[0] + alone[1], f"two processes read {parts}, one reads {alone[:2]}.")

    def check_splits(self) -> None:
        """Splits are not empty, do not overlap, and do not depend on the seed."""
        dataset, other = self.make(), self.make()
        other.seed += 1
        owners: dict[str, str] = {}
        for split in SPLITS:
            items = dataset.items(split)
            expect(len(items) > 0, f"the split '{split}' is empty.")
            listed = [repr(item) for item in items]
            expect(listed == [repr(item) for item in other.items(split)], f"'{split}' depends on the seed.")
            shared = [f"{item} in '{owners[item]}'" for item in listed if item in owners]
            expect(not shared, f"'{split}' shares {', '.join(shared[:3])}; an item belongs to one split.")
            owners.update(dict.fromkeys(listed, split))

    def check_samples(self) -> None:
        """Every task gives samples with contents of the right types, the last segment a target."""
        dataset = self.make()
        expect(dataset.supported_tasks, "`supported_tasks` is empty; name the tasks on the class.")
        for task in dataset.tasks:
            for split in SPLITS:
                for item in islice(dataset.items(split), FEW):
                    sample = dataset.sample(split, item, task, random.Random(0))
                    _valid(sample, f"task '{task}', split '{split}', item {item!r}")
                    again = dataset.sample(split, item, task, random.Random(0))
                    expect(_same(sample, again), f"the same rng gives other samples of {item!r}, '{task}'.")

    def check_evaluation(self) -> None:
        """Evaluation lists are fixed: the same at every call, for every seed, and cut by `limit`."""
        dataset, other = self.make(), self.make()
        other.seed += 1
        for task in dataset.tasks:
            for split in ("val", "test"):
                where = f"evaluation('{split}', '{task}')"
                with no_global_randomness(where):
                    samples = dataset.evaluation(split, task)
                expect(samples, f"{where} is empty.")
                for again in (dataset.evaluation(split, task), other.evaluation(split, task)):
                    same = len(samples) == len(again) and all(map(_same, samples, again))
                    expect(same, f"{where} differs between calls or seeds; fix the list.")
                few = dataset.evaluation(split, task, FEW)
                expect(0 < len(few) <= FEW, f"{where} with limit {FEW} has {len(few)} samples.")
                for sample in few:
                    _valid(sample, where)

    def check_contents(self) -> None:
        """What tokenizers are fitted on comes from training items only, the same at every call."""
        dataset = self.make()
        for modality in self._modalities(dataset):
            first, again = (list(islice(dataset.contents(modality), FEW)) for _ in range(2))
            expect(first, f"contents('{modality}') is empty, but samples have such segments.")
            expect(equal(first, again), f"contents('{modality}') differs at the second call.")
            fitted = set(map(_fingerprint, dataset.contents(modality)))
            strange = {
                _fingerprint(segment.content)
                for task in dataset.tasks
                for sample in dataset.evaluation("test", task)
                for segment in sample.segments
                if segment.modality == modality
            }
            if modality != "image" and strange - fitted:
                continue  # a few texts may be common to all splits; only all of them are no chance
            for known in self._training(dataset, modality):
                if not strange & fitted:
                    break
                strange.discard(known)
            leaked = strange & fitted
            expect(
                not leaked,
                f"contents('{modality}') holds {len(leaked)} contents that only the test split shows; "
                "yield those of training items only.",
            )

    def check_tasks(self) -> None:
        """A task with weight 0 never comes, and the others come."""
        dataset = self.make()
        for task in dataset.supported_tasks:
            if task not in dataset.tasks:
                continue
            dataset.schedule_tasks([(0, {name: float(name == task) for name in dataset.tasks})])
            found = {dataset.training_sample(number).task for number in range(FEW)}
            # a data set may answer with another task where an item has nothing to ask
            expect(task in found, f"with all weight on '{task}' the stream has only {sorted(found)}.")

    # -- how ------------------------------------------------------------------------------------------------

    def _modalities(self, dataset: Dataset) -> list[str]:
        samples = [dataset.training_sample(number) for number in range(FEW)]
        return sorted({segment.modality for sample in samples for segment in sample.segments})

    @staticmethod
    def _training(dataset: Dataset, modality: str) -> Iterator[Any]:
        """Yield what training samples show, again and again with other draws."""
        for draw in range(64):  # an item may have many captions or questions
            for task in dataset.tasks:
                for item in dataset.items("train"):
                    sample = dataset.sample("train", item, task, random.Random(draw))
                    yield from (_fingerprint(s.content) for s in sample.segments if s.modality == modality)


def _valid(sample: Sample, where: str) -> None:
    expect(sample.segments, f"{where}: no segments.")
    expect(sample.segments[-1].target, f"{where}: the last segment is not a target.")
    for segment in sample.segments:
        content = segment.content
        expect(segment.modality in MODALITIES, f"{where}: unknown modality '{segment.modality}'.")
        if segment.modality == "text":
            expect(isinstance(content, str) and content.strip(), f"{where}: {content!r} is no text.")
        elif segment.modality == "image":
            good = isinstance(content, torch.Tensor) and content.dtype == torch.uint8 and content.dim() == 3
            expect(good, f"{where}: a picture must be a uint8 tensor (C, height, width).")
        elif segment.modality == "graph":
            expect(isinstance(content, GraphNode), f"{where}: {content!r} is no mmgraph.graphs.GraphNode.")
            drawn = sample.segments[-1].modality == "image"
            shown = drawn and "image" not in content.hidden
            expect(not shown, f"{where}: the picture to be drawn is not among what the node hides.")


def _same(left: Sample, right: Sample) -> bool:
    parts = [[(s.modality, s.target, s.content) for s in sample.segments] for sample in (left, right)]
    return left.task == right.task and equal(*parts)


def _fingerprint(content: Any) -> Any:
    return (tuple(content.shape), content.numpy().tobytes()) if isinstance(content, torch.Tensor) else content


def _keys(batch: list[Sample]) -> list[int]:
    return [sample.key for sample in batch]


def _trainer(step: int = 0, rank: int = 0, world: int = 1) -> Any:
    return SimpleNamespace(
        global_step=step,
        global_rank=rank,
        world_size=world,
        accumulate_grad_batches=1,
        limit_train_batches=1.0,
    )


SUITE = DatasetSuite
