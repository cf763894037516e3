"""A folder of the user's own pictures with captions, and questions where there are some."""

from __future__ import annotations

import logging
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmgraph.datasets import Dataset, Protocol, Split
from mmgraph.errors import RunError, UsageError
from mmgraph.sequence import Sample, Segment
from mmgraph_datasets.division import PROTOCOL_VERSION, SPLITS, TEST_SHARE, VAL_SHARE, fraction
from mmgraph_datasets.folder_rows import Entry, captions_file, read_rows
from mmgraph_datasets.picture_store import Fit, square

NAMED = 5
"""Files or lines named one by one in a warning; the rest are counted."""
WORLD = "folder"
KIND = "question"
log = logging.getLogger(__name__)


class FolderDataset(Dataset):
    """The pictures of a folder, with the captions and questions of `captions.csv` or `captions.jsonl`.

    Columns (or keys) are `file,text` and, where there are questions, `question,answer`; `file` is relative
    to the folder, a picture may have several rows. Every picture is read once, at the start, and kept in
    memory at `image_size`; one that is missing or damaged is left out, and a warning names it. Tasks are
    those that the rows allow: draw and name with texts, ask with questions.

    An item is an int: the place of its picture in `entries`.

    Args:
        batch_size: Samples per step and process.
        tasks: Weight of each task in training; None: all that the rows allow, alike.
        root: The folder.
        protocol: `random`: each picture by itself; `grouped`: pictures that share a text on one side.
        seed: Decides the stream of training samples.
        steps_per_epoch: Batches of one epoch; None: one pass over the training pictures.
        image_size: Side of the pictures in pixels.
        captions: Name of the file of captions; None: captions.csv or captions.jsonl.
        fit: How a picture becomes square: `crop` its middle, or `pad` it with white.

    Raises:
        UsageError: If folder, file or columns are missing, a row names a file outside the folder, or the
            protocol needs attributes that pictures of one's own do not have.
        RunError: If no row is usable.
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
        image_size: int = 32,
        captions: str | None = None,
        fit: Fit = "crop",
    ) -> None:
        if protocol == "compositional":
            raise UsageError("a folder of pictures has protocols random and grouped, not compositional.")
        if image_size < 4:
            raise UsageError(f"image_size must be at least 4, not {image_size}.")
        folder = Path(root).expanduser()
        file = captions_file(folder, captions)
        entries, problems = read_rows(folder, file)
        _warn(f"{file} has rows that say too little", problems)
        self.entries, self.pictures = _load(entries, image_size, fit)
        if not self.entries:
            raise RunError(f"{file} leaves no usable picture of {len(entries)} named; see the warnings above.")
        self.image_size = image_size
        texts, questions = (any(getattr(e, n) for e in self.entries) for n in ("texts", "questions"))
        self.supported_tasks = (("draw", "name") if texts else ()) + (("ask",) if questions else ())
        super().__init__(batch_size, tasks, protocol=protocol, seed=seed, steps_per_epoch=steps_per_epoch)
        self.description = f"{len(self.entries)} pictures of the folder {folder.name}"
        self._items = _divide(self.entries, protocol)
        answers: dict[str, set[str]] = defaultdict(set)
        for item in self._items["train"]:
            for question, answer in self.entries[item].questions:
                answers[question].add(answer)
        self._every_answer = tuple(sorted(set().union(*answers.values())))
        self._choices = {q: tuple(sorted(found)) for q, found in answers.items() if len(found) > 1}

    # -- the contract -------------------------------------------------------------------------------------

    def items(self, split: Split) -> Sequence[int]:
        """Return the items of a split: places in `entries`."""
        return self._items[split]

    def picture(self, item: int) -> Tensor:
        """Return the picture of an item, uint8 `(3, image_size, image_size)`."""
        return self.pictures[item]

    def identity(self, item: int) -> str:
        """Return the first text of an item: pictures that share it cannot be told apart by it."""
        entry = self.entries[item]
        return entry.texts[0] if entry.texts else entry.file

    def sample(self, split: Split, item: int, task: str, rng: random.Random) -> Sample:
        """Return one sample; of several texts or questions one is drawn from `rng`.

        A picture without texts is asked about, and one without questions is named, whatever the task.
        """
        entry = self.entries[item]
        if (task == "ask" and entry.questions) or not entry.texts:
            return self._ask(item, *rng.choice(entry.questions))
        text = rng.choice(entry.texts)
        return self._draw(item, text) if task == "draw" else self._name(item, text)

    def contents(self, modality: str) -> Iterable[Any]:
        """Yield the training pictures, or every training text, question and answer."""
        if modality == "image":
            return (self.pictures[i] for i in self._items["train"])
        return self._texts() if modality == "text" else ()

    def evaluation(self, split: Split, task: str, limit: int | None = None) -> list[Sample]:
        """Return the fixed samples of a task: each picture's first text, or all of its questions."""
        found: list[Sample] = []
        for item in self._items[split]:
            entry = self.entries[item]
            if task == "draw":
                found += [self._draw(item, text) for text in entry.texts[:1]]
            elif task == "name":
                found += [self._name(item, text) for text in entry.texts[:1]]
            elif task == "ask":
                found += [self._ask(item, *asked) for asked in entry.questions]
        return found[:limit]

    # -- parts of samples -----------------------------------------------------------------------------------

    def _meta(self, item: int, **more: Any) -> dict[str, Any]:
        entry = self.entries[item]
        return {
            "item": item,
            "concept": self.identity(item),
            "name": self.identity(item),
            "file": entry.file,
            **more,
        }

    def _draw(self, item: int, text: str) -> Sample:
        segments = (Segment("text", text), Segment("image", self.pictures[item], target=True))
        return Sample(segments, "draw", item, self._meta(item, caption=text))

    def _name(self, item: int, text: str) -> Sample:
        segments = (Segment("image", self.pictures[item]), Segment("text", text, target=True))
        return Sample(segments, "name", item, self._meta(item, answer=text))

    def _ask(self, item: int, question: str, answer: str) -> Sample:
        segments = (
            Segment("image", self.pictures[item]),
            Segment("text", question),
            Segment("text", answer, target=True),
        )
        choices = self._choices.get(question, self._every_answer)
        meta = self._meta(item, kind=KIND, question=question, answer=answer, choices=choices)
        return Sample(segments, "ask", item, meta)

    def _texts(self) -> Iterator[str]:
        for item in self._items["train"]:
            yield from self.entries[item].texts
            for asked in self.entries[item].questions:
                yield from asked


def _load(entries: Sequence[Entry], size: int, fit: Fit) -> tuple[list[Entry], Tensor]:
    """Return the entries whose pictures can be read, and the pictures `(N, 3, size, size)`."""
    usable, pictures, problems = [], [], []
    for entry in entries:
        try:
            pictures.append(square(entry.path, size, fit))
        except FileNotFoundError:
            problems.append(f"{entry.file}: missing")
        except Exception as error:  # decoders of damaged files raise whatever they stumble on
            problems.append(f"{entry.file}: {type(error).__name__}: {error}")
        else:
            usable.append(entry)
    _warn("pictures left out", problems)
    if not pictures:
        return [], torch.empty(0, 3, size, size, dtype=torch.uint8)
    return usable, torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def _warn(what: str, problems: Sequence[str]) -> None:
    if problems:
        more = f" and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
        log.warning("%s (%d): %s%s", what, len(problems), "; ".join(problems[:NAMED]), more)


def _divide(entries: Sequence[Entry], protocol: Protocol) -> dict[Split, list[int]]:
    """Return the places of each split; a small folder still has a test and a val picture."""
    groups: dict[str, list[int]] = defaultdict(list)
    for i, name in enumerate(_group_names(entries) if protocol == "grouped" else [e.file for e in entries]):
        groups[name].append(i)
    places = {name: fraction(WORLD, protocol, name) for name in groups}
    order = sorted(groups, key=places.__getitem__)
    num_test = max(sum(p < TEST_SHARE for p in places.values()), int(len(order) > 1))
    num_held = max(sum(p < TEST_SHARE + VAL_SHARE for p in places.values()), num_test + int(len(order) > 2))
    num_held = min(num_held, len(order) - 1)  # something is left to train on
    divided: dict[Split, list[int]] = {split: [] for split in SPLITS}
    for rank, name in enumerate(order):
        divided["test" if rank < min(num_test, num_held) else "val" if rank < num_held else "train"] += groups[name]
    return {split: sorted(items) for split, items in divided.items()}


def _group_names(entries: Sequence[Entry]) -> list[str]:
    """Return one name per picture, the same for pictures linked by a chain of shared texts."""
    parent: dict[str, str] = {}

    def find(text: str) -> str:
        while parent.setdefault(text, text) != text:
            text = parent[text]
        return text

    for entry in entries:
        for text in entry.texts[1:]:
            first, other = sorted((find(entry.texts[0]), find(text)))
            parent[other] = first
    return [find(e.texts[0]) if e.texts else e.file for e in entries]
