"""LLaVA-Instruct: conversations about pictures, of several turns; every answer is learnt."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from mmgraph.datasets import Dataset, Protocol, Split
from mmgraph.errors import UsageError
from mmgraph.sequence import Sample, Segment
from mmgraph_datasets import benchmark_files
from mmgraph_datasets.benchmark_files import LeftOut
from mmgraph_datasets.division import PROTOCOL_VERSION, split_of
from mmgraph_datasets.gallery import Gallery, Shown, official_only
from mmgraph_datasets.picture_store import Fit, PictureStore

WORLD = "llava_instruct"
MARK = "<image>"
NAMES = ("llava_instruct_150k.json", "conversations.json")
KIND = "conversation"


@dataclass(slots=True)
class Conversation(Shown):
    """A picture and what is said about it.

    Args:
        turns: Pairs of question and answer.
    """

    turns: tuple[tuple[str, str], ...] = ()


class LLaVAInstructDataset(Dataset):
    """Conversations about pictures: the model learns every answer and reads every question before it.

    The file is a list of objects with `id`, `image` (relative to the folder of pictures) and `conversations`, a
    list of `{"from": "human", "value": "<image>\\nquestion"}` and `{"from": "gpt", "value": answer}` in turn. A
    sample is the picture, then question, answer, question, answer and so on; all answers are targets. The mark
    `<image>` is taken out: the picture always comes first. A training sample ends after a turn drawn at random,
    so that the end of every answer is learnt, not only that of the last.

    The format has no division: about 15 % of the pictures are the split test and 5 % val, by hash, all
    conversations about one picture on one side. Evaluation asks the first question alone, and measures held-out
    losses on whole conversations; for answers of many words the losses say more.

    An item is an int: a conversation.

    Args:
        batch_size: Samples per step and process.
        tasks: Weight of each task in training: only ask.
        root: Folder of the file, and of the pictures.
        protocol: `random`: by picture.
        seed: Decides the stream of training samples.
        steps_per_epoch: Batches of one epoch; None: one pass over the training conversations.
        image_size: Side of the pictures in pixels.
        fit: How a picture becomes square: `crop` its middle, or `pad` it with white.
        file: Name of the file in root; None: llava_instruct_150k.json or conversations.json.
        images: Folder of the pictures; None: root.
        max_words: Keep only the turns before a conversation has more words; None: all.
        evaluated: Conversations of a split that evaluation takes, chosen by hash; None: all.
        memory_mb: Memory for decoded pictures.

    Raises:
        UsageError: If a file or folder is missing, or an option is wrong.
        RunError: If the file is damaged, or nothing usable is left.

    Reference:
        Liu et al., Visual Instruction Tuning, 2023 (arXiv 2304.08485).
    """

    supported_tasks = ("ask",)
    protocol_version = PROTOCOL_VERSION
    credits = "LLaVA-Instruct (https://llava-vl.github.io), CC-BY-NC 4.0; photographs: COCO (https://cocodataset.org)."

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
        fit: Fit = "pad",
        file: str | None = None,
        images: str | None = None,
        max_words: int | None = None,
        evaluated: int | None = 1000,
        memory_mb: int = 512,
    ) -> None:
        official_only(protocol, "llava_instruct")
        if max_words is not None and max_words < 2:
            raise UsageError(f"max_words must be at least 2, not {max_words}.")
        super().__init__(batch_size, tasks, protocol=protocol, seed=seed, steps_per_epoch=steps_per_epoch)
        folder = benchmark_files.folder(root)
        pictures = benchmark_files.folder(images, "images") if images else folder
        self.image_size = image_size
        source = benchmark_files.first_of(folder, [file] if file else NAMES, "conversations", "file")
        self.conversations = _read(source, pictures, max_words)
        places: dict[Split, list[int]] = {"train": [], "val": [], "test": []}
        for place, entry in enumerate(self.conversations):
            places[split_of(WORLD, entry.picture)].append(place)
        if not places["train"]:
            places["train"] = places.pop("test")
        store = PictureStore(pictures.joinpath, size=image_size, fit=fit, memory_mb=memory_mb)
        self.gallery = Gallery(self.conversations, places, store, world=WORLD, evaluated=evaluated)
        turns = sum(len(entry.turns) for entry in self.conversations)
        self.description = f"{len(self.conversations):,} conversations of {turns:,} turns about pictures"

    def items(self, split: Split) -> Sequence[int]:
        """Return the items of a split: places in `conversations`."""
        return self.gallery.items(split)

    def picture(self, item: int) -> Tensor:
        """Return the picture of an item, uint8 `(3, image_size, image_size)`."""
        return self.gallery.picture(item)

    def sample(self, split: Split, item: int, task: str, rng: random.Random) -> Sample:
        """Return a conversation up to a turn drawn from `rng`."""
        item = self.gallery.whole(split, item)
        return self._sample(item, rng.randint(1, len(self.conversations[item].turns)))

    def contents(self, modality: str) -> Iterable[Any]:
        """Yield training pictures, or training questions and answers."""
        return self._texts() if modality == "text" else self.gallery.contents(modality)

    def evaluation(self, split: Split, task: str, limit: int | None = None) -> list[Sample]:
        """Return whole conversations, in an order by hash."""
        return [self._sample(item, len(self.conversations[item].turns)) for item in self.gallery.chosen(split, limit)]

    def _sample(self, item: int, count: int) -> Sample:
        entry = self.conversations[item]
        segments = [Segment("image", self.gallery.picture(item))]
        for question, answer in entry.turns[:count]:
            segments += [Segment("text", question), Segment("text", answer, target=True)]
        question, answer = entry.turns[0]
        meta = {"item": item, "concept": entry.picture, "name": entry.picture, "file": entry.picture}
        return Sample(tuple(segments), "ask", item, {**meta, "kind": KIND, "question": question, "answer": answer})

    def _texts(self) -> Iterator[str]:
        for item in self.items("train"):
            for turn in self.conversations[item].turns:
                yield from turn


def _read(source: Path, pictures: Path, max_words: int | None) -> list[Conversation]:
    found = benchmark_files.read_json(source)
    left_out = LeftOut(f"{source.name}: conversations left out")
    if not isinstance(found, list):
        raise left_out.nothing_left(f"{source}: expected a list of conversations, it")
    inside = pictures.resolve()
    known: dict[str, str | None] = {}
    kept: list[Conversation] = []
    for place, entry in enumerate(found):
        values = entry if isinstance(entry, dict) else {}
        number, file = values.get("id", place), values.get("image")
        if not isinstance(file, str) or not file:
            left_out.add("without picture", number)
            continue
        if file not in known:
            known[file] = _problem(inside, file)
        problem = known[file]
        turns = _turns(values.get("conversations"), max_words)
        if problem is None and not turns:
            problem = "not of the form human, gpt, human, gpt ..." if turns is None else "longer than max_words"
        if problem is not None:
            left_out.add(problem, f"{number} ({file})")
            continue
        kept.append(Conversation(file, turns=tuple(turns or ())))
    left_out.warn()
    if not kept:
        raise left_out.nothing_left(source)
    return kept


def _problem(inside: Path, file: str) -> str | None:
    path = (inside / file).resolve()
    if not path.is_relative_to(inside):
        return "picture outside the folder"
    return None if path.is_file() else "picture missing"


def _turns(said: Any, max_words: int | None) -> list[tuple[str, str]] | None:
    """Return the turns that fit, or None if they are not questions and answers by turns."""
    if not isinstance(said, list) or len(said) < 2 or len(said) % 2:
        return None
    turns: list[tuple[str, str]] = []
    used = 0
    for asked, answered in zip(said[::2], said[1::2], strict=True):
        question, answer = _value(asked, "human"), _value(answered, "gpt")
        if not question or not answer:
            return None
        used += len(question.split()) + len(answer.split())
        if max_words is not None and used > max_words:
            break
        turns.append((question, answer))
    return turns


def _value(part: Any, who: str) -> str:
    if not isinstance(part, dict) or part.get("from") != who or not isinstance(part.get("value"), str):
        return ""
    return " ".join(part["value"].replace(MARK, " ").split())
