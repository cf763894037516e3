"""The contract of data sets, and the lazy names of every installed one.

A data set yields samples (segments per task); tokenizing happens in the model. Which sample comes when is a
function of (seed, number of the sample) alone, so a resumed run and a run on several processes read the
same stream as an uninterrupted one.
"""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data.distributed import DistributedSampler

from mmgraph import registry
from mmgraph.errors import RunError, UsageError
from mmgraph.sequence import Sample

Split = Literal["train", "val", "test"]
Protocol = Literal["random", "grouped", "compositional"]


class Dataset(LightningDataModule):
    """Samples per task, divided by a fixed protocol.

    Subclasses give `items`, `sample` and `contents`; the stream, its resume and its division among
    processes are here.

    Args:
        batch_size: Samples per step and process.
        tasks: Weight of each task in the training stream, for example `{draw: 2, name: 1, ask: 1}`.
        protocol: How concepts are divided into splits.
        seed: Decides the stream of training samples (not the division, which is fixed).
        steps_per_epoch: Batches of one epoch; None: one pass over the training items.
    """

    supported_tasks: tuple[str, ...] = ("draw", "name", "ask")
    credits: str = ""
    """Line of credit that reports and the site show."""
    description: str = ""
    """What the pictures are, in one line for reports: how many, of which groups, from where."""

    def __init__(
        self,
        batch_size: int = 64,
        tasks: Mapping[str, float] | None = None,
        *,
        protocol: Protocol = "random",
        seed: int = 0,
        steps_per_epoch: int | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise UsageError(f"batch_size must be at least 1, not {batch_size}.")
        weights = dict(tasks) if tasks is not None else dict.fromkeys(self.supported_tasks, 1.0)
        unknown = sorted(set(weights) - set(self.supported_tasks))
        if unknown or not any(weight > 0 for weight in weights.values()):
            raise UsageError(
                f"tasks of {type(self).__name__} are {', '.join(self.supported_tasks)}, with at least one positive "
                f"weight; got {weights}."
            )
        self.batch_size = batch_size
        self.tasks = weights
        self.task_schedule: list[tuple[int, Mapping[str, float]]] = [(0, weights)]
        self.protocol = protocol
        self.seed = seed
        self.steps_per_epoch = steps_per_epoch

    @abstractmethod
    def items(self, split: Split) -> Sequence[Any]:
        """Return the items (concepts, scenes, files) of a split."""

    @abstractmethod
    def sample(self, split: Split, item: Any, task: str, rng: random.Random) -> Sample:
        """Return one sample of `item` for `task`; every free choice is drawn from `rng`."""

    @abstractmethod
    def contents(self, modality: str) -> Iterable[Any]:
        """Yield training contents of a modality, from which tokenizers are fitted."""

    @abstractmethod
    def evaluation(self, split: Split, task: str, limit: int | None = None) -> list[Sample]:
        """Return the fixed samples on which `task` is scored; the same list at every call."""

    def picture(self, item: Any) -> torch.Tensor:
        """Return the picture of an item, uint8 `(C, height, width)`."""
        raise UsageError(f"{type(self).__name__} has no pictures.")

    def check(self, item: Any, picture: torch.Tensor) -> dict[str, bool]:
        """Return which attributes of an item a drawn picture shows; nothing where the data set cannot tell."""
        return {}

    # -- the stream ---------------------------------------------------------------------------------------

    def schedule_tasks(self, stages: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        """Change the weights of the tasks during training: from each optimiser step on, these.

        Raises:
            UsageError: If a task is not one of the data set's.
        """
        known = set(self.supported_tasks)
        for _, weights in stages:
            if set(weights) - known or not any(weight > 0 for weight in weights.values()):
                raise UsageError(f"tasks of {type(self).__name__} are {', '.join(sorted(known))}; got {dict(weights)}.")
        accumulate = self.trainer.accumulate_grad_batches if self.trainer is not None else 1
        per_step = accumulate * self._world_size * self.batch_size
        self.task_schedule = [(step * per_step, dict(weights)) for step, weights in stages]

    @property
    def num_batches(self) -> int:
        """Batches of one epoch."""
        if self.steps_per_epoch is not None:
            return self.steps_per_epoch
        return max(1, len(self.items("train")) // (self.batch_size * self._world_size))

    @property
    def _world_size(self) -> int:
        return self.trainer.world_size if self.trainer is not None else 1

    def order(self, epoch: int) -> Sequence[int]:
        """Return in which order an epoch visits the training items: their places, a function of (seed, epoch)."""
        return _order(self.seed, epoch, len(self.items("train")))

    def training_sample(self, number: int) -> Sample:
        """Return sample `number` of the training stream: a function of (seed, number)."""
        items = self.items("train")
        if not len(items):
            raise RunError(
                f"{type(self).__name__} has no training items; check its options ({self.protocol} protocol)."
            )
        epoch, place = divmod(number, len(items))
        rng = random.Random(f"{self.seed}:{number}")
        weights = next(weights for first, weights in reversed(self.task_schedule) if number >= first)
        task = rng.choices(list(weights), weights=list(weights.values()))[0]
        sample = self.sample("train", items[self.order(epoch)[place]], task, rng)
        return Sample(sample.segments, sample.task, number, sample.meta)

    def train_dataloader(self) -> DataLoader[Sample]:
        """Return the training loader; it starts where the trainer's step counter stands."""
        return _StatefulLoader(_Stream(self), self.batch_size, sampler=_Numbers(self), collate_fn=list)

    def val_dataloader(self) -> DataLoader[Sample]:
        """Return the validation loader."""
        return self._evaluation_loader("val")

    def test_dataloader(self) -> DataLoader[Sample]:
        """Return the test loader."""
        return self._evaluation_loader("test")

    def predict_dataloader(self) -> DataLoader[Sample]:
        """Return the test loader."""
        return self._evaluation_loader("test")

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Leave the samples alone: the model moves the tensors it makes of them."""
        return batch

    def _evaluation_loader(self, split: Split) -> DataLoader[Sample]:
        samples = [
            sample for task, weight in self.tasks.items() if weight > 0 for sample in self.evaluation(split, task)
        ]
        if not samples:
            raise RunError(f"{type(self).__name__} has no samples in split '{split}' under protocol '{self.protocol}'.")
        return DataLoader(samples, batch_size=self.batch_size, collate_fn=list)  # type: ignore[arg-type]


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, size: int) -> list[int]:
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
    return torch.randperm(size, generator=generator).tolist()


class _Stream(TorchDataset[Sample]):
    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __getitem__(self, number: int) -> Sample:
        return self.dataset.training_sample(number)


class _Numbers(DistributedSampler[int]):
    """Sample numbers of this process, from the trainer's global step to the end of its epoch.

    A `DistributedSampler` by name, so that Lightning does not divide the stream among processes once more.
    """

    def __init__(self, source: Dataset) -> None:
        self.source = source

    def __len__(self) -> int:
        return self.source.num_batches * self.source.batch_size

    def __iter__(self) -> Iterator[int]:
        trainer = self.source.trainer
        per_epoch = self.source.num_batches
        epoch = start = 0
        rank, world = 0, 1
        if trainer is not None:
            rank, world = trainer.global_rank, trainer.world_size
            accumulate = trainer.accumulate_grad_batches
            limit = trainer.limit_train_batches
            used = min(limit, per_epoch) if isinstance(limit, int) else int(limit * per_epoch)
            steps = max(1, -(-used // accumulate))
            epoch, step = divmod(trainer.global_step, steps)
            start = step * accumulate
        size = self.source.batch_size
        for batch in range(start, per_epoch):
            first = ((epoch * per_epoch + batch) * world + rank) * size
            yield from range(first, first + size)


class _StatefulLoader(DataLoader[Sample]):
    """Tells Lightning that the stream resumes: its state is the trainer's own step counter."""

    def state_dict(self) -> dict[str, int]:
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        pass


__getattr__, __dir__ = registry.lazy("datasets")
