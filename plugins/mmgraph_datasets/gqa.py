"""GQA: compositional questions about real pictures, made from scene graphs; one right answer each."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from mmgraph.datasets import Dataset, Protocol, Split
from mmgraph.errors import UsageError
from mmgraph.sequence import Sample
from mmgraph_datasets import benchmark_files
from mmgraph_datasets.benchmark_files import LeftOut
from mmgraph_datasets.division import PROTOCOL_VERSION
from mmgraph_datasets.gallery import Asked, Gallery, Shown, hold_out_val, official_only
from mmgraph_datasets.picture_store import Fit, PictureStore

WORLD = "gqa"


class GQADataset(Dataset):
    """Questions made from scene graphs, each with one answer and a structural type.

    `root` holds `train_balanced_questions.json` and `testdev_balanced_questions.json` (or `val_balanced_...`):
    objects keyed by question id with `question`, `answer`, `fullAnswer`, `imageId` and `types`; and a folder
    `images` with `IMAGEID.jpg`. Any file of this form will do, also of one's own. Training takes the training file,
    less 5 % of its pictures (split val); the split test is the other file. Accuracy is reported for each
    structural type (query, verify, choose, logical, compare).

    An item is an int: a picture with all its questions, of which a training sample draws one.

    Args:
        batch_size: Samples per step and process.
        tasks: Weight of each task in training: only ask.
        root: Folder of the download.
        protocol: `random`: the official division, by picture.
        seed: Decides the stream of training samples.
        steps_per_epoch: Batches of one epoch; None: one pass over the training pictures.
        image_size: Side of the pictures in pixels.
        fit: How a picture becomes square: `crop` its middle, or `pad` it with white.
        images: Folder of the pictures; None: `images` in root.
        train: File of training questions in root; None: the official name.
        test: File of test questions in root; None: the official names.
        full_answers: Train on `fullAnswer`, a sentence, instead of `answer`; both count as right.
        evaluated: Pictures of a split that evaluation takes, chosen by hash; None: all.
        memory_mb: Memory for decoded pictures.

    Raises:
        UsageError: If a file or folder is missing, or an option is wrong.
        RunError: If a file is damaged, or nothing usable is left.

    Reference:
        Hudson and Manning, GQA: A New Dataset for Real-World Visual Reasoning, 2019 (arXiv 1902.09506).
    """

    supported_tasks = ("ask",)
    protocol_version = PROTOCOL_VERSION
    credits = "GQA (https://cs.stanford.edu/people/dorarad/gqa), CC-BY 4.0."

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
        images: str | None = None,
        train: str | None = None,
        test: str | None = None,
        full_answers: bool = False,
        evaluated: int | None = 1000,
        memory_mb: int = 512,
    ) -> None:
        official_only(protocol, "gqa")
        super().__init__(batch_size, tasks, protocol=protocol, seed=seed, steps_per_epoch=steps_per_epoch)
        folder = benchmark_files.folder(root)
        pictures = benchmark_files.folder(images or folder / "images", "images")
        self.image_size = image_size
        official = {
            "train": [train] if train else ["train_balanced_questions.json"],
            "test": [test] if test else ["testdev_balanced_questions.json", "val_balanced_questions.json"],
        }
        files = {n: benchmark_files.first_of(folder, found, f"{n} questions", n) for n, found in official.items()}
        there = {path.stem: path.name for path in pictures.iterdir()}
        shown = {n: _read(file, there, full_answers) for n, file in files.items()}
        both = {entry.picture for entry in shown["train"]} & {entry.picture for entry in shown["test"]}
        if both:
            raise UsageError(
                f"{files['train'].name} and {files['test'].name} ask about the same {len(both):,} pictures, such as "
                f"{min(both)}. Divide them by picture, or the test says nothing of unseen ones."
            )
        places = hold_out_val([entry.picture for entry in shown["train"]], WORLD)
        every = [*shown["train"], *shown["test"]]
        places["test"] = list(range(len(shown["train"]), len(every)))
        store = PictureStore(pictures.joinpath, size=image_size, fit=fit, memory_mb=memory_mb)
        self.gallery = Gallery(every, places, store, world=WORLD, evaluated=evaluated)
        count = sum(len(entry.questions) for entry in every)
        self.description = f"{count:,} questions about {len(every):,} pictures"

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
        """Return every question of the evaluated pictures."""
        return self.gallery.evaluation(split, task, limit)


def _read(file: Path, there: Mapping[str, str], full_answers: bool) -> list[Shown]:
    """Return the pictures that exist, each with its usable questions."""
    found = benchmark_files.read_json(file)
    left_out = LeftOut(f"{file.name}: questions left out")
    if not isinstance(found, dict) or not found:
        raise left_out.nothing_left(f"{file}: expected an object keyed by question id, it")
    shown: dict[str, Shown] = {}
    for number, entry in found.items():
        values = entry if isinstance(entry, dict) else {}
        text, short, full = (" ".join(str(values.get(n) or "").split()) for n in ("question", "answer", "fullAnswer"))
        picture = str(values.get("imageId") or "")
        if not text or not short:
            left_out.add("without question or answer", number)
            continue
        if picture not in there:
            left_out.add("picture missing", picture or number)
            continue
        types = values.get("types")
        kind = str(types.get("structural") or "question") if isinstance(types, dict) else "question"
        answers = (short, full) if full else ()
        asked = Asked(text, full if full_answers and full else short, kind, answers)
        shown.setdefault(picture, Shown(there[picture])).questions.append(asked)
    left_out.warn()
    if not shown:
        raise left_out.nothing_left(file)
    return list(shown.values())
