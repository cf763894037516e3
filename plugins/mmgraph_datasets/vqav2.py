"""VQA v2: questions about photographs, ten people's answers to each, read as downloaded."""

from __future__ import annotations

import random
import sys
from collections import Counter
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

WORLD = "vqav2"
KINDS = {"yes/no": "yes_no", "number": "number", "other": "other"}


class VQAv2Dataset(Dataset):
    """Questions about COCO photographs, each answered by ten people; scored by VQA accuracy.

    `root` holds the files under their official names: `v2_OpenEnded_mscoco_train2014_questions.json`,
    `v2_mscoco_train2014_annotations.json`, the same for `val2014`, and the folders `train2014` and `val2014`
    with `COCO_train2014_000000000009.jpg` and so on. Training takes train2014, less 5 % of its pictures (split
    val); the split test is val2014, whose answers are public. The model is trained to say the most frequent of
    the ten answers.

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
        images: Folder that holds train2014 and val2014; None: root.
        top_answers: Train only on questions whose answer is among so many most frequent; None: on all.
        evaluated: Pictures of a split that evaluation takes, chosen by hash; None: all.
        memory_mb: Memory for decoded pictures.

    Raises:
        UsageError: If a file or folder is missing, or an option is wrong.
        RunError: If a file is damaged, or nothing usable is left.

    Reference:
        Goyal et al., Making the V in VQA Matter, 2017 (arXiv 1612.00837).
    """

    supported_tasks = ("ask",)
    protocol_version = PROTOCOL_VERSION
    credits = "VQA v2 (https://visualqa.org), CC-BY 4.0; photographs: COCO (https://cocodataset.org)."

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
        top_answers: int | None = None,
        evaluated: int | None = 1000,
        memory_mb: int = 512,
    ) -> None:
        official_only(protocol, "vqav2")
        if top_answers is not None and top_answers < 1:
            raise UsageError(f"top_answers must be at least 1, not {top_answers}.")
        super().__init__(batch_size, tasks, protocol=protocol, seed=seed, steps_per_epoch=steps_per_epoch)
        folder = benchmark_files.folder(root)
        pictures = benchmark_files.folder(images, "images") if images else folder
        self.image_size = image_size
        train = _read(folder, pictures, "train2014")
        test = _read(folder, pictures, "val2014")
        places = hold_out_val([entry.picture for entry in train], WORLD)
        if top_answers is not None:
            places["train"] = _keep_frequent(train, places["train"], top_answers)
        places["test"] = list(range(len(train), len(train) + len(test)))
        store = PictureStore(pictures.joinpath, size=image_size, fit=fit, memory_mb=memory_mb)
        self.gallery = Gallery([*train, *test], places, store, world=WORLD, scoring="vqa_accuracy", evaluated=evaluated)
        self.description = _describe(train, [train[i] for i in places["train"]], test)

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


def _read(folder: Path, pictures: Path, part: str) -> list[Shown]:
    """Return the pictures of a part that exist, each with its usable questions."""
    asked = benchmark_files.first_of(
        folder, [f"v2_OpenEnded_mscoco_{part}_questions.json"], f"questions of {part}", "root"
    )
    answered = benchmark_files.first_of(
        folder, [f"v2_mscoco_{part}_annotations.json"], f"annotations of {part}", "root"
    )
    there = {path.name for path in benchmark_files.folder(pictures / part, "root or images").iterdir()}
    questions = benchmark_files.listed(benchmark_files.read_json(asked), "questions", asked)
    answers = benchmark_files.listed(benchmark_files.read_json(answered, shrink=_shrink), "annotations", answered)
    known: dict[Any, tuple[str, tuple[str, ...], str]] = dict(filter(None, map(_answers, answers)))
    left_out = LeftOut(f"{asked.name}: questions left out")
    shown: dict[str, Shown] = {}
    for entry in questions:
        number = entry.get("question_id") if isinstance(entry, dict) else None
        text = " ".join(str(entry.get("question") or "").split()) if isinstance(entry, dict) else ""
        if number is None or not text or not isinstance(entry.get("image_id"), int):
            left_out.add("without question, question_id or image_id", number)
            continue
        name = f"COCO_{part}_{entry['image_id']:012d}.jpg"
        if name not in there:
            left_out.add("picture missing", f"{part}/{name}")
            continue
        if number not in known:
            left_out.add(f"no usable answer in {answered.name}", number)
            continue
        answer, people, kind = known[number]
        choices = ("no", "yes") if kind == "yes_no" and answer in ("no", "yes") else ()
        picture = shown.setdefault(name, Shown(f"{part}/{name}"))
        picture.questions.append(Asked(text, answer, kind, people, choices))
    left_out.warn()
    if not shown:
        raise left_out.nothing_left(asked)
    return list(shown.values())


def _shrink(entry: dict[str, Any]) -> Any:
    """Keep the words of an answer: the same few thousand strings come millions of times."""
    if "answer_id" in entry and isinstance(entry.get("answer"), str):
        return sys.intern(" ".join(entry["answer"].split()))
    return entry


def _answers(entry: Any) -> tuple[Any, tuple[str, tuple[str, ...], str]] | None:
    """Return a question's number with the answer to learn, all answers and the kind; None if unusable."""
    if not isinstance(entry, dict) or not isinstance(entry.get("answers"), list):
        return None
    people = tuple(answer for answer in entry["answers"] if isinstance(answer, str) and answer)
    if not people:
        return None
    counts = Counter(people)
    official = entry.get("multiple_choice_answer")
    answer = max(counts, key=lambda text: (counts[text], text == official))
    return entry.get("question_id"), (answer, people, KINDS.get(str(entry.get("answer_type")), "other"))


def _keep_frequent(shown: Sequence[Shown], train: Sequence[int], count: int) -> list[int]:
    """Drop training questions whose answer is rare; return the places that have a question left."""
    answers = Counter(asked.answer for place in train for asked in shown[place].questions)
    frequent = {text for text, _ in sorted(answers.items(), key=lambda item: (-item[1], item[0]))[:count]}
    left_out = LeftOut("training questions left out")
    for place in train:
        for asked in shown[place].questions:
            if asked.answer not in frequent:
                left_out.add(f"answer not among the {count:,} most frequent", asked.answer)
        shown[place].questions = [asked for asked in shown[place].questions if asked.answer in frequent]
    left_out.warn()
    return [place for place in train if shown[place].questions]


def _describe(train: Sequence[Shown], trained: Sequence[Shown], test: Sequence[Shown]) -> str:
    known = {asked.answer for entry in trained for asked in entry.questions}
    asked = [question.answer for entry in test for question in entry.questions]
    count = sum(len(entry.questions) for entry in train) + len(asked)
    strange = sum(answer not in known for answer in asked) / len(asked)
    return f"{count:,} questions about {len(train) + len(test):,} photographs; {strange:.1%} of test answers untrained"
