"""easy-VQA: questions about one coloured shape on a pale ground; a published set that a pip package holds."""

from __future__ import annotations

import functools
import importlib.util
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from mmgraph.datasets import Dataset, Protocol, Split
from mmgraph.errors import RunError, UsageError
from mmgraph.sequence import Sample
from mmgraph_datasets import benchmark_files
from mmgraph_datasets.benchmark_files import LeftOut
from mmgraph_datasets.division import PROTOCOL_VERSION
from mmgraph_datasets.gallery import Asked, Gallery, Shown, hold_out_val, official_only
from mmgraph_datasets.picture_store import PictureStore

WORLD = "easy_vqa"
OWN_SIZE = 64
CHOICES = {
    "shape": ("circle", "rectangle", "triangle"),
    "colour": ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow"),
    "present": ("no", "yes"),
    "absent": ("no", "yes"),
}
"""Kinds of question, each with its answers; `absent` asks with a not."""


class EasyVQADataset(Dataset):
    """48,248 questions about 5,000 pictures of one shape: which shape, which colour, is there one, is there none.

    The smallest public benchmark that is shipped rather than downloaded: with the package `easy-vqa` it is there.
    The official division is kept: 4,000 pictures to train, less 5 % of them (split val), and 1,000 to test. Each
    picture is one concept, with all its questions.

    An item is an int: a picture, of whose questions a training sample draws one.

    Args:
        batch_size: Samples per step and process.
        tasks: Weight of each task in training: only ask.
        protocol: `random`: the official division, by picture.
        seed: Decides the stream of training samples.
        steps_per_epoch: Batches of one epoch; None: one pass over the training pictures.
        image_size: Side of the pictures in pixels; the pictures' own is 64.
        kinds: Kinds of question to ask, of shape, colour, present and absent; None: all.
        limit: Use at most so many training pictures, the first by hash.
        evaluated: Pictures of a split that evaluation takes, chosen by hash; None: all.
        memory_mb: Memory for decoded pictures.

    Raises:
        UsageError: If the package is not installed, or an option is wrong.
        RunError: If the package's files are damaged.

    Reference:
        Zhou, easy-VQA, 2019 (https://github.com/vzhou842/easy-VQA).
    """

    supported_tasks = ("ask",)
    protocol_version = PROTOCOL_VERSION
    credits = "easy-VQA (https://github.com/vzhou842/easy-VQA), copyright 2019 Victor Zhou, MIT."

    def __init__(
        self,
        batch_size: int = 64,
        tasks: Mapping[str, float] | None = None,
        *,
        protocol: Protocol = "random",
        seed: int = 0,
        steps_per_epoch: int | None = None,
        image_size: int = OWN_SIZE,
        kinds: list[str] | None = None,
        limit: int | None = None,
        evaluated: int | None = None,
        memory_mb: int = 128,
    ) -> None:
        official_only(protocol, "easy_vqa")
        if limit is not None and limit < 2:
            raise UsageError(f"limit must be at least 2 training pictures, not {limit}.")
        for kind in kinds or ():
            if kind not in CHOICES:
                raise UsageError(f"unknown kind of question '{kind}'. Known: {', '.join(CHOICES)}.")
        super().__init__(batch_size, tasks, protocol=protocol, seed=seed, steps_per_epoch=steps_per_epoch)
        self.image_size = image_size
        data = _package()
        train, test = (_read(data, part, kinds or list(CHOICES)) for part in ("train", "test"))
        places = hold_out_val([entry.picture for entry in train], WORLD)
        places["test"] = list(range(len(train), len(train) + len(test)))
        store = PictureStore(data.joinpath, size=image_size, fit="pad", memory_mb=memory_mb)
        self.gallery = Gallery([*train, *test], places, store, world=WORLD, evaluated=evaluated)
        if limit is not None:
            self.gallery.keep("train", limit)
        count = sum(len(self.gallery.shown[i].questions) for split in places for i in self.items(split))
        self.description = f"{count:,} questions about {sum(map(len, map(self.items, places))):,} pictures of one shape"

    def items(self, split: Split) -> Sequence[int]:
        """Return the items of a split."""
        return self.gallery.items(split)

    def picture(self, item: int) -> Tensor:
        """Return the picture of an item, uint8 `(3, image_size, image_size)`."""
        return self.gallery.picture(item)

    def sample(self, split: Split, item: int, task: str, rng: random.Random) -> Sample:
        """Return one of the item's questions, drawn from `rng`."""
        return self.gallery.sample(split, item, task, rng)

    def contents(self, modality: str) -> Iterable[Any]:
        """Yield training pictures, or training questions and answers."""
        return self.gallery.contents(modality)

    def evaluation(self, split: Split, task: str, limit: int | None = None) -> list[Sample]:
        """Return every question of the split's pictures."""
        return self.gallery.evaluation(split, task, limit)


def _package() -> Path:
    """Return the folder of the package's data, without importing it."""
    found = importlib.util.find_spec("easy_vqa")
    if found is None or found.origin is None:
        raise UsageError("easy_vqa needs the package easy-vqa (3 MB): pip install 'mmgraph[vqa]'.")
    return Path(found.origin).parent / "data"


def _read(data: Path, part: str, kinds: Sequence[str]) -> list[Shown]:
    file = data / part / "questions.json"
    if not file.is_file():
        raise RunError(f"the package easy-vqa has lost {file}; install it again.")
    shown: dict[str, Shown] = {}
    for picture, asked in _rows(file):
        if asked.kind in kinds:
            name = f"{part}/images/{picture}.png"
            shown.setdefault(name, Shown(name)).questions.append(asked)
    return list(shown.values())


@functools.lru_cache(maxsize=2)
def _rows(file: Path) -> list[tuple[int, Asked]]:
    """Return the questions of a file, each with the number of its picture."""
    left_out = LeftOut(f"{file}: questions left out")
    rows = []
    for question, answer, picture in benchmark_files.read_json(file):
        kind = kind_of(question, answer)
        if answer in CHOICES[kind]:
            rows.append((picture, Asked(question, answer, kind, choices=CHOICES[kind])))
        else:
            left_out.add("of no known kind", f"{question} {answer}")
    left_out.warn()
    if not rows:
        raise left_out.nothing_left(file)
    return rows


def kind_of(question: str, answer: str) -> str:
    """Return the kind of a question, by its words."""
    if answer in ("yes", "no"):
        return "absent" if re.search(r"\bnot\b|\bno\b", question) else "present"
    return "colour" if re.search(r"\bcolou?r\b", question) else "shape"
