"""WebDataset shards: tars of pictures with captions or questions, read as a stream or in any order.

The usual reader streams shards and shuffles within a buffer; where it stands then depends on what it read before,
so that a killed run cannot go on where it stopped. Here every shard's headers are read once, and the number of a
sample decides which sample it is: resume and several processes need no state.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from mmgraph.datasets import Dataset, Protocol, Split
from mmgraph.errors import RunError, UsageError
from mmgraph.sequence import Sample
from mmgraph_datasets import benchmark_files
from mmgraph_datasets.division import PROTOCOL_VERSION, split_of
from mmgraph_datasets.gallery import Gallery, hold_out_val, official_only
from mmgraph_datasets.picture_store import Fit, PictureStore
from mmgraph_datasets.tar_samples import TarSamples

WORLD = "webdataset"
log = logging.getLogger(__name__)
TRIED = 32
"""Samples that are read at the start to learn which tasks the shards allow."""
FITTED = 50_000
"""Training samples whose texts text tokenizers are fitted on, where there are more."""


class WebDatasetDataset(Dataset):
    """Pictures with captions or questions from tar shards, found by their place in the tar.

    A sample is all members of one key: `000001.jpg` with `000001.txt` (a caption) or `000001.json` (an object with
    `caption` or `text`, a string or a list of them; with `question` and `answer`; or with `questions`, a list of
    such pairs). Pictures may be jpg, png, webp, bmp or ppm. Tasks are those that the first samples allow.

    `order` decides how an epoch goes through the training samples. `shuffled`: in any order, best where reads at
    any place are cheap. `shards`: the shards in random order, shuffled within each, so that one shard after the
    other is read; best on network disks. `sequential`: as they lie. All are a function of (seed, number).

    An item is an int: the place of a sample, all shards counted together.

    Args:
        batch_size: Samples per step and process.
        tasks: Weight of each task in training, those left out that the samples do not allow; None: all, alike.
        root: Folder of the shards.
        protocol: `random`: by sample.
        seed: Decides the stream of training samples.
        steps_per_epoch: Batches of one epoch; None: one pass over the training samples.
        image_size: Side of the pictures in pixels.
        fit: How a picture becomes square: `crop` its middle, or `pad` it with white.
        shards: Names of the training shards in root: `*.tar`, or a range as in `train-{0000..0012}.tar`.
        test_shards: Names of the test shards; None: 15 % of all samples are the split test, by hash of their keys.
        order: How an epoch goes through the samples.
        evaluated: Samples of a split that evaluation takes, chosen by hash; None: all.
        memory_mb: Memory for decoded pictures.
        cache_dir: Folder of the shards' indices; None: the variable MMGRAPH_CACHE, else the platform's folder.

    Raises:
        UsageError: If folder or shards are missing, or an option is wrong.
        RunError: If a shard is no tar, or nothing usable is left.

    Reference:
        WebDataset, https://github.com/webdataset/webdataset.
    """

    protocol_version = PROTOCOL_VERSION

    def __init__(
        self,
        batch_size: int = 64,
        tasks: Mapping[str, float] | None = None,
        *,
        root: str,
        protocol: Protocol = "random",
        seed: int = 0,
        steps_per_epoch: int | None = None,
        image_size: int = 64,
        fit: Fit = "crop",
        shards: str = "*.tar",
        test_shards: str | None = None,
        order: Literal["shuffled", "shards", "sequential"] = "shuffled",
        evaluated: int | None = 1000,
        memory_mb: int = 512,
        cache_dir: str | None = None,
    ) -> None:
        official_only(protocol, "webdataset")
        folder = benchmark_files.folder(root)
        held_out = _find(folder, test_shards, "test_shards") if test_shards else []
        train = [shard for shard in _find(folder, shards, "shards") if shard not in held_out]
        if not train:
            raise UsageError(f"shards '{shards}' of {folder} are all test_shards; nothing is left to train on.")
        self.image_size = image_size
        self.train_order = order
        self.samples = TarSamples([*train, *held_out], cache_dir)
        store = PictureStore(self.samples.read_picture, size=image_size, fit=fit, memory_mb=memory_mb)
        self.samples.store = store
        places = _divide(self.samples, len(train), bool(held_out))
        self.gallery = Gallery(self.samples, places, store, world=WORLD, evaluated=evaluated)
        self.supported_tasks = _tasks(self.samples, folder)
        beyond = sorted(set(tasks or ()) & set(Dataset.supported_tasks) - set(self.supported_tasks))
        if tasks and beyond and set(tasks) & set(self.supported_tasks):
            log.warning("the samples of %s do not allow %s; left out of tasks.", folder, " and ".join(beyond))
            tasks = {task: weight for task, weight in tasks.items() if task not in beyond}
        super().__init__(batch_size, tasks, protocol=protocol, seed=seed, steps_per_epoch=steps_per_epoch)
        self.description = f"{len(self.samples):,} samples of {len(train) + len(held_out)} shards in {folder.name}"
        self._epoch: tuple[int, int, list[int]] | None = None

    def items(self, split: Split) -> Sequence[int]:
        """Return the items of a split."""
        return self.gallery.items(split)

    def order(self, epoch: int) -> Sequence[int]:
        """Return in which order an epoch visits the training samples; see the option `order`."""
        if self.train_order == "sequential":
            return range(len(self.items("train")))
        if self.train_order == "shuffled":
            return super().order(epoch)
        if self._epoch is None or self._epoch[:2] != (self.seed, epoch):
            self._epoch = (self.seed, epoch, self._by_shards(epoch))
        return self._epoch[2]

    def _by_shards(self, epoch: int) -> list[int]:
        places: dict[int, list[int]] = {}
        for place, item in enumerate(self.items("train")):
            places.setdefault(self.samples.shard_of[item], []).append(place)
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) % 2**63)
        shards = [list(places.values())[i] for i in torch.randperm(len(places), generator=generator).tolist()]
        return [shard[i] for shard in shards for i in torch.randperm(len(shard), generator=generator).tolist()]

    def picture(self, item: int) -> Tensor:
        """Return the picture of an item, uint8 `(3, image_size, image_size)`."""
        return self.gallery.picture(item)

    def sample(self, split: Split, item: int, task: str, rng: random.Random) -> Sample:
        """Return the picture with one of its captions or questions, drawn from `rng`."""
        return self.gallery.sample(split, item, task, rng)

    def contents(self, modality: str) -> Iterable[Any]:
        """Yield training pictures, or training texts, of so many samples as fitting needs."""
        return self._texts() if modality == "text" else self.gallery.contents(modality)

    def evaluation(self, split: Split, task: str, limit: int | None = None) -> list[Sample]:
        """Return the evaluated samples with their first caption, or with every question."""
        return self.gallery.evaluation(split, task, limit)

    def _texts(self) -> Iterator[str]:
        for item in sorted(self.gallery.hashed("train")[:FITTED]):
            entry = self.samples[item]
            yield from entry.texts
            for asked in entry.questions:
                yield from (asked.question, asked.answer)


def _find(folder: Path, names: str, option: str) -> list[Path]:
    """Return the shards that a pattern or a range names.

    Raises:
        UsageError: If there are none, or one of a range is missing.
    """
    if "{" in names:
        found = [folder / name for name in _expanded(names)]
        missing = [path.name for path in found if not path.is_file()]
        if missing:
            raise UsageError(
                f"{folder} lacks {len(missing)} of the {len(found)} shards of {option} '{names}', such as {missing[0]}."
            )
        return found
    found = sorted(path for path in folder.glob(names) if path.is_file())
    if not found:
        raise UsageError(f"{folder} has no shards '{names}' (option {option}).")
    return found


def _expanded(names: str) -> list[str]:
    """Return the names that a range such as `train-{0000..0012}.tar` stands for."""
    match = re.search(r"\{(\d+)\.\.(\d+)\}", names)
    if match is None:
        return [names]
    numbers = (str(number).zfill(len(match[1])) for number in range(int(match[1]), int(match[2]) + 1))
    return [name for number in numbers for name in _expanded(names[: match.start()] + number + names[match.end() :])]


def _divide(samples: TarSamples, num_train: int, has_test: bool) -> dict[Split, list[int]]:
    keys = [f"{samples.shards[shard].name}:{s.key}" for s, shard in zip(samples.found, samples.shard_of, strict=True)]
    if has_test:
        train = [item for item, shard in enumerate(samples.shard_of) if shard < num_train]
        inner = hold_out_val([keys[item] for item in train], WORLD)
        places: dict[Split, list[int]] = {split: [train[i] for i in found] for split, found in inner.items()}
        places["test"] = [item for item, shard in enumerate(samples.shard_of) if shard >= num_train]
        return places
    places = {"train": [], "val": [], "test": []}
    for item, key in enumerate(keys):
        places[split_of(WORLD, key)].append(item)
    if not places["train"]:  # a handful of samples may all fall on the other side
        places = {"train": list(range(len(keys))), "val": [], "test": []}
    return places


def _tasks(samples: TarSamples, folder: Path) -> tuple[str, ...]:
    tried = [samples[item] for item in range(0, len(samples), max(1, len(samples) // TRIED))]
    texts, questions = any(entry.texts for entry in tried), any(entry.questions for entry in tried)
    if not texts and not questions:
        raise RunError(
            f"none of {len(tried)} samples tried of the shards in {folder} has a caption (.txt, or caption or text in "
            ".json) or a question with an answer (.json); see the warnings above."
        )
    return (("draw", "name") if texts else ()) + (("ask",) if questions else ())
