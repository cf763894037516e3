"""The samples of tar shards, each read when it is asked for: a picture, and what its texts say of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmgraph_datasets import tar_index
from mmgraph_datasets.benchmark_files import LeftOut
from mmgraph_datasets.gallery import Asked, Shown
from mmgraph_datasets.picture_store import PictureStore
from mmgraph_datasets.tar_index import TarSample

PICTURES = ("jpg", "jpeg", "png", "webp", "bmp", "ppm")
TEXTS = ("txt", "caption", "json")
KIND = "question"


class TarSamples(Sequence[Shown]):
    """The samples of some shards; each is read when it is asked for.

    Args:
        shards: The files.
        cache_dir: Folder of their indices.

    Raises:
        RunError: If a shard is no tar, or none has a sample with a picture and a text.
    """

    store: PictureStore

    def __init__(self, shards: Sequence[Path], cache_dir: str | None = None) -> None:
        self.shards = list(shards)
        self.found: list[TarSample] = []
        self.shard_of: list[int] = []
        self._picture: dict[str, int] = {}
        cut, incomplete = LeftOut("shards"), LeftOut("samples left out")
        for number, shard in enumerate(self.shards):
            index = tar_index.load(shard, cache_dir)
            if index.problem:
                place = f"{shard.name} after {len(index.samples):,} samples"
                cut.add(f"cut short or damaged, what comes before is used ({index.problem})", place)
            for sample in index.samples:
                missing = [what for what, known in (("picture", PICTURES), ("text", TEXTS)) if not _has(sample, known)]
                if missing:
                    incomplete.add(f"without {' and '.join(missing)}", f"{shard.name}:{sample.key}")
                    continue
                self._picture[f"{shard.name}:{sample.key}"] = len(self.found)
                self.found.append(sample)
                self.shard_of.append(number)
        cut.warn()
        incomplete.warn()
        if not self.found:
            incomplete.counts += cut.counts
            incomplete.named |= cut.named
            raise incomplete.nothing_left(f"{len(self.shards)} shards in {self.shards[0].parent}")

    def __len__(self) -> int:
        return len(self.found)

    def __getitem__(self, item: Any) -> Any:
        shard, sample = self.shards[self.shard_of[item]], self.found[item]
        entry = Shown(f"{shard.name}:{sample.key}")
        try:
            for extension in TEXTS:
                if extension in sample.members:
                    _say(entry, tar_index.read(shard, sample.members[extension]).decode(), extension)
            if not entry.texts and not entry.questions:
                raise ValueError("its texts are empty")
        except (OSError, ValueError) as error:
            self.store.leave_out(entry.picture, error)
        return entry

    def read_picture(self, name: str) -> bytes:
        """Return the picture file of the sample called `SHARD:KEY`."""
        item = self._picture[name]
        sample = self.found[item]
        extension = next(known for known in PICTURES if known in sample.members)
        return tar_index.read(self.shards[self.shard_of[item]], sample.members[extension])


def _has(sample: TarSample, extensions: Sequence[str]) -> bool:
    return any(extension in sample.members for extension in extensions)


def _say(entry: Shown, content: str, extension: str) -> None:
    """Add what a member says to an entry.

    Raises:
        ValueError: If it says it in another form.
    """
    if extension != "json":
        entry.texts += [" ".join(content.split())] if content.strip() else []
        return
    values = json.loads(content)
    if not isinstance(values, dict):
        raise ValueError("its json is no object")
    said = values.get("caption") or values.get("text") or []
    texts = (" ".join(str(text).split()) for text in ([said] if isinstance(said, str) else said))
    entry.texts += [text for text in texts if text]
    asked = values.get("questions")
    for pair in [values, *(asked if isinstance(asked, list) else [])]:
        question, answer = (" ".join(str(pair.get(name) or "").split()) for name in ("question", "answer"))
        if question and answer:
            entry.questions.append(Asked(question, answer, str(pair.get("kind") or KIND)))
