"""COCO captions: photographs with about five people's captions each, read as downloaded."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from mmgraph.datasets import Dataset, Protocol, Split
from mmgraph.sequence import Sample
from mmgraph_datasets import benchmark_files
from mmgraph_datasets.benchmark_files import LeftOut
from mmgraph_datasets.division import PROTOCOL_VERSION
from mmgraph_datasets.gallery import Gallery, Shown, hold_out_val, official_only
from mmgraph_datasets.picture_store import Fit, PictureStore

WORLD = "coco_captions"


class COCOCaptionsDataset(Dataset):
    """Photographs with several captions each; names are scored by CIDEr-D, BLEU-4 and ROUGE-L.

    `root` holds the files under their official names: `annotations/captions_train2017.json`,
    `annotations/captions_val2017.json` (or beside the pictures), and the folders `train2017` and `val2017`; with
    `year: 2014` the same for 2014. Training takes the official training pictures, less 5 % (split val); the split
    test is the official val. Captions are lower-cased and lose their final full stop.

    An item is an int: a picture with all its captions, of which a training sample draws one.

    Args:
        batch_size: Samples per step and process.
        tasks: Weight of each task (draw, name) in training.
        root: Folder of the download.
        protocol: `random`: the official division, by picture.
        seed: Decides the stream of training samples.
        steps_per_epoch: Batches of one epoch; None: one pass over the training pictures.
        image_size: Side of the pictures in pixels.
        fit: How a picture becomes square: `crop` its middle, or `pad` it with white.
        images: Folder that holds the folders of pictures; None: root.
        year: Of the release, 2014 or 2017: the same photographs, divided differently.
        evaluated: Pictures of a split that evaluation takes, chosen by hash; None: all.
        memory_mb: Memory for decoded pictures.

    Raises:
        UsageError: If a file or folder is missing, or an option is wrong.
        RunError: If a file is damaged, or nothing usable is left.

    Reference:
        Chen et al., Microsoft COCO Captions: Data Collection and Evaluation Server, 2015 (arXiv 1504.00325).
    """

    supported_tasks = ("draw", "name")
    protocol_version = PROTOCOL_VERSION
    credits = "COCO (https://cocodataset.org): captions CC-BY 4.0, photographs of Flickr users under their licences."

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
        year: Literal[2014, 2017] = 2017,
        evaluated: int | None = 1000,
        memory_mb: int = 512,
    ) -> None:
        official_only(protocol, "coco_captions")
        super().__init__(batch_size, tasks, protocol=protocol, seed=seed, steps_per_epoch=steps_per_epoch)
        folder = benchmark_files.folder(root)
        pictures = benchmark_files.folder(images, "images") if images else folder
        self.image_size = image_size
        train, test = (_read(folder, pictures, f"{part}{year}") for part in ("train", "val"))
        places = hold_out_val([entry.picture for entry in train], WORLD)
        places["test"] = list(range(len(train), len(train) + len(test)))
        store = PictureStore(pictures.joinpath, size=image_size, fit=fit, memory_mb=memory_mb)
        self.gallery = Gallery([*train, *test], places, store, world=WORLD, evaluated=evaluated)
        count = sum(len(entry.texts) for entry in self.gallery.shown)
        self.description = f"{count:,} captions of {len(self.gallery.shown):,} photographs"

    def items(self, split: Split) -> Sequence[int]:
        """Return the items of a split."""
        return self.gallery.items(split)

    def picture(self, item: int) -> Tensor:
        """Return the picture of an item, uint8 `(3, image_size, image_size)`."""
        return self.gallery.picture(item)

    def sample(self, split: Split, item: int, task: str, rng: random.Random) -> Sample:
        """Return the picture with one of its captions, drawn from `rng`."""
        return self.gallery.sample(split, item, task, rng)

    def contents(self, modality: str) -> Iterable[Any]:
        """Yield training pictures, or training captions."""
        return self.gallery.contents(modality)

    def evaluation(self, split: Split, task: str, limit: int | None = None) -> list[Sample]:
        """Return the evaluated pictures, each with its first caption and all of them as references."""
        return self.gallery.evaluation(split, task, limit)


def _read(folder: Path, pictures: Path, part: str) -> list[Shown]:
    """Return the pictures of a part that exist and have a caption."""
    names = [f"annotations/captions_{part}.json", f"captions_{part}.json"]
    file = benchmark_files.first_of(folder, names, f"captions of {part}", "root")
    there = {path.name for path in benchmark_files.folder(pictures / part, "root or images").iterdir()}
    found = benchmark_files.read_json(file)
    left_out = LeftOut(f"{file.name}: captions left out")
    files: dict[Any, str] = {}
    for entry in benchmark_files.listed(found, "images", file):
        if isinstance(entry, dict) and isinstance(entry.get("file_name"), str):
            files[entry.get("id")] = Path(entry["file_name"]).name
    shown: dict[str, Shown] = {}
    for entry in benchmark_files.listed(found, "annotations", file):
        number = entry.get("id") if isinstance(entry, dict) else None
        text = plain(str(entry.get("caption") or "")) if isinstance(entry, dict) else ""
        if not text or entry.get("image_id") not in files:
            left_out.add("without words, or of a picture that is not listed", number)
            continue
        name = files[entry["image_id"]]
        if name not in there:
            left_out.add("picture missing", f"{part}/{name}")
            continue
        shown.setdefault(name, Shown(f"{part}/{name}")).texts.append(text)
    left_out.warn()
    if not shown:
        raise left_out.nothing_left(file)
    return list(shown.values())


def plain(caption: str) -> str:
    """Return a caption in lower case, with single spaces and no final full stop."""
    return " ".join(caption.lower().split()).rstrip(". ")
