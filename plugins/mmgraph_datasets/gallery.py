"""Pictures with what is said of them and asked about them, divided into splits: what most benchmarks are.

A data set that reads a format makes entries of its files, and this turns entries into samples.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from torch import Tensor

from mmgraph.datasets import Protocol, Split
from mmgraph.errors import RunError, UsageError
from mmgraph.sequence import Sample, Segment
from mmgraph_datasets.division import SPLITS, VAL_SHARE, fraction
from mmgraph_datasets.picture_store import PictureStore

FITTED = 4096
"""Training pictures that image tokenizers are fitted on, where there are more."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about a picture.

    Args:
        question: Its words.
        answer: What the model is trained to say.
        kind: Under which its accuracy is reported.
        answers: All that count as right, where there are several.
        choices: What may be answered; empty if the question is open.
    """

    question: str
    answer: str
    kind: str
    answers: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()


@dataclass(slots=True)
class Shown:
    """One picture.

    Args:
        picture: Its name in the store.
        texts: Captions.
        questions: Questions about it.
    """

    picture: str
    texts: list[str] = field(default_factory=list)
    questions: list[Asked] = field(default_factory=list)


def official_only(protocol: Protocol, owner: str) -> None:
    """Refuse a division that is not the benchmark's own.

    Raises:
        UsageError: If the protocol is not `random`.
    """
    if protocol != "random":
        raise UsageError(f"{owner} keeps the benchmark's own division, by picture: protocol random, not {protocol}.")


def hold_out_val(names: Sequence[str], world: str) -> dict[Split, list[int]]:
    """Return which of the official training pictures train, and which 5 % (at least one) are the split `val`."""
    places = [fraction(world, "val", name) for name in names]
    limit = max(VAL_SHARE, min(places, default=0.0)) if len(names) > 1 else -1.0
    return {
        "train": [i for i, place in enumerate(places) if place > limit],
        "val": [i for i, place in enumerate(places) if place <= limit],
    }


class Gallery:
    """Entries as samples.

    An item is an int, the place of an entry. If its picture is damaged, the next item of its split stands in:
    which one depends on the files alone, so a stream is still a function of (seed, number).

    Args:
        shown: The entries.
        places: Those of each split.
        store: Their pictures.
        world: Part of every hash.
        scoring: Metric of answers for the questions; '': right or wrong.
        evaluated: Pictures of a split that evaluation takes, chosen by hash; None: all.
    """

    def __init__(
        self,
        shown: Sequence[Shown],
        places: Mapping[Split, list[int]],
        store: PictureStore,
        *,
        world: str,
        scoring: str = "",
        evaluated: int | None = None,
    ) -> None:
        if evaluated is not None and evaluated < 1:
            raise UsageError(f"evaluated must be at least 1 picture, not {evaluated}.")
        self.shown = shown
        self.store = store
        self.scoring = scoring
        self.world = world
        self.evaluated = evaluated
        self._items: dict[Split, list[int]] = {split: list(places.get(split, ())) for split in SPLITS}
        self._by_hash: dict[Split, list[int]] = {}

    def items(self, split: Split) -> Sequence[int]:
        """Return the items of a split."""
        return self._items[split]

    def keep(self, split: Split, count: int) -> None:
        """Keep the first `count` items of a split in an order by hash."""
        self._items[split] = sorted(self.hashed(split)[:count])
        self._by_hash.pop(split)

    def picture(self, item: int) -> Tensor:
        """Return the picture of an item.

        Raises:
            RunError: If its file is damaged.
        """
        name = self.shown[item].picture
        found = self.store.get(name)
        if found is None:
            raise RunError(f"the picture {name} cannot be shown: {self.store.damaged[name]}. Download it again.")
        return found

    def whole(self, split: Split, item: int) -> int:
        """Return the item, or the next one of its split whose picture is not damaged.

        Raises:
            RunError: If a hundred in a row are damaged, or the whole split is.
        """
        if self._usable(item):
            return item
        items = self._items[split]
        start = items.index(item)
        for step in range(1, min(len(items), 100)):
            other = items[(start + step) % len(items)]
            if self._usable(other):
                return other
        name = self.shown[item].picture
        raise RunError(
            f"{min(len(items), 100)} pictures of split '{split}' in a row cannot be read, the first {name} "
            f"({self.store.damaged[name]}). Check root and unpack the pictures again."
        )

    def sample(self, split: Split, item: int, task: str, rng: random.Random) -> Sample:
        """Return one sample; of several captions or questions one is drawn from `rng`.

        A picture without captions is asked about, and one without questions is named, whatever the task.
        """
        item = self.whole(split, item)
        entry = self.shown[item]
        if (task == "ask" and entry.questions) or not entry.texts:
            return self._ask(item, rng.choice(entry.questions))
        text = rng.choice(entry.texts)
        return self._draw(item, text) if task == "draw" else self._name(item, text)

    def contents(self, modality: str) -> Iterable[Any]:
        """Yield training pictures, at most `FITTED` chosen by hash, or every training text."""
        if modality == "image":
            chosen = self.hashed("train")[:FITTED]
            pictures = (self.store.get(self.shown[item].picture) for item in chosen)
            return (picture for picture in pictures if picture is not None)
        return self._texts() if modality == "text" else ()

    def evaluation(self, split: Split, task: str, limit: int | None = None) -> list[Sample]:
        """Return the fixed samples of a task in an order by hash: each first caption, or every question."""
        found: list[Sample] = []
        for item in self.chosen(split):
            entry = self.shown[item]
            if task == "ask":
                found += [self._ask(item, asked) for asked in entry.questions]
            elif entry.texts:
                found.append((self._draw if task == "draw" else self._name)(item, entry.texts[0]))
            if limit is not None and len(found) >= limit:
                break
        return found[:limit]

    def hashed(self, split: Split) -> list[int]:
        """Return the items of a split in an order by hash."""
        if split not in self._by_hash:
            order = {item: fraction(self.world, "order", self.shown[item].picture) for item in self._items[split]}
            self._by_hash[split] = sorted(order, key=order.__getitem__)
        return self._by_hash[split]

    def chosen(self, split: Split, limit: int | None = None) -> Iterator[int]:
        """Yield the items that evaluation takes, those with a damaged picture left out."""
        whole = (item for item in self.hashed(split)[: self.evaluated] if self._usable(item))
        return islice(whole, limit)

    # -- parts of samples -----------------------------------------------------------------------------------

    def _usable(self, item: int) -> bool:
        return self.store.get(self.shown[item].picture) is not None

    def _meta(self, item: int, **more: Any) -> dict[str, Any]:
        name = self.shown[item].picture
        return {"item": item, "concept": name, "name": name, "file": name, **more}

    def _draw(self, item: int, text: str) -> Sample:
        segments = (Segment("text", text), Segment("image", self.picture(item), target=True))
        return Sample(segments, "draw", item, self._meta(item, caption=text))

    def _name(self, item: int, text: str) -> Sample:
        segments = (Segment("image", self.picture(item)), Segment("text", text, target=True))
        meta = self._meta(item, answer=text, answers=tuple(self.shown[item].texts))
        return Sample(segments, "name", item, meta)

    def _ask(self, item: int, asked: Asked) -> Sample:
        segments = (
            Segment("image", self.picture(item)),
            Segment("text", asked.question),
            Segment("text", asked.answer, target=True),
        )
        meta = self._meta(
            item,
            kind=asked.kind,
            question=asked.question,
            answer=asked.answer,
            answers=asked.answers,
            choices=asked.choices,
            scoring=self.scoring,
        )
        return Sample(segments, "ask", item, meta)

    def _texts(self) -> Iterator[str]:
        for item in self._items["train"]:
            yield from self.shown[item].texts
            for asked in self.shown[item].questions:
                yield asked.question
                yield asked.answer
