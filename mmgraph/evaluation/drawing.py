"""How well a model draws, beside everything that could pass for drawing.

Each number stands next to the same number for: the training picture whose caption is most alike
(`nearest_caption`), the mean training picture (`mean_picture`), real pictures (`real`), and the true picture
after the model's own image tokenizer (`reconstruction`), which no drawing can be expected to beat.
"""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmgraph.errors import RunError
from mmgraph.evaluation.examples import Caption, stack
from mmgraph.evaluation.features import features, one_thread
from mmgraph.evaluation.statistics import mean_interval, statistic_interval
from mmgraph.metrics import PictureMetric, PictureSet, Score
from mmgraph.sequence import Sample, Segment


@dataclass
class Drawings:
    """What a model drew from some captions.

    Args:
        captions: The captions with their true pictures.
        drawn: `(N, C, height, width)` uint8.
        reconstructed: The true pictures after the image tokenizer; None if the model has none that decodes.
        per_picture: Filled by `score`: the value of each picture, for scores that have one.
        section: Of metrics.json, where their scores stand.
    """

    captions: Sequence[Caption]
    drawn: Tensor
    reconstructed: Tensor | None = None
    per_picture: dict[str, Tensor] = field(default_factory=dict)
    section: str = "generation"


def draw(
    model: Any,
    captions: Sequence[Caption],
    *,
    guidance: float | Mapping[str, float] | None = None,
    num_steps: int | None = None,
    seed: int = 0,
) -> Drawings:
    """Draw a picture for each caption, or from what is given in its place; pass the true ones through the tokenizer.

    Raises:
        RunError: If what is drawn differs in size from the true pictures.
    """
    from mmgraph import generation

    options: dict[str, Any] = {"guidance": guidance, "num_steps": num_steps, "seed": seed}
    if any(caption.given for caption in captions):
        wanted = Segment("image", None, target=True)
        samples = [Sample((*asked.given, wanted), asked.task, number) for number, asked in enumerate(captions)]
        drawn = torch.stack(generation.complete(model, samples, **options))
    else:
        drawn = generation.draw(model, [caption.text for caption in captions], **options)
    true = stack(captions, "the captions")
    if drawn.shape != true.shape:
        raise RunError(
            f"the model draws {tuple(drawn.shape[1:])} pictures, but those of the data set are "
            f"{tuple(true.shape[1:])}; evaluate on the data that the model was trained on."
        )
    name = image_tokenizer(model)
    reconstructed = generation.reconstruct(model, true, name) if name is not None else None
    return Drawings(captions, drawn, reconstructed)


def image_tokenizer(model: Any) -> str | None:
    """Return the name of the model's first image tokenizer that decodes."""
    for name, tokenizer in getattr(model, "tokenizers", {}).items():
        if tokenizer.modality == "image" and tokenizer.decodes:
            return name
    return None


@one_thread()
def score(
    drawings: Drawings,
    training: Sequence[Caption],
    metrics: Sequence[PictureMetric],
    *,
    seed: int = 0,
    beside: Sequence[str] = ("nearest_caption", "mean_picture", "real", "reconstruction"),
) -> dict[str, dict[str, Any]]:
    """Return value, n, candidates, chance, a 95 % interval and baselines of each score.

    Args:
        drawings: What was drawn.
        training: Training captions and pictures.
        metrics: What to measure.
        seed: Decides baselines, subsets and resamples.
        beside: Which baselines to compute.
    """
    true, train = _set(stack(drawings.captions, "the captions")), _set(stack(training, "the training split"))
    drawn = _set(drawings.drawn)
    concepts = [caption.concept for caption in drawings.captions]
    stand_ins = baselines(drawings, training, true, train, seed=seed)
    found: dict[str, dict[str, Any]] = {}
    for metric in metrics:
        scores = metric.compute(drawn, true, train, generator=_generator(seed))
        rows = {name: entry(value, concepts, seed) for name, value in scores.items()}
        for stand_in, pictures in stand_ins.items():
            which, _, real = stand_in.partition(":")
            if which not in beside or (real and real != metric.real):
                continue
            for name, value in metric.compute(pictures, true, train, generator=_generator(seed)).items():
                if name in rows:
                    rows[name]["baselines"][which] = value.value
        found.update(rows)
        drawings.per_picture.update(
            {
                n: v.per_picture
                for n, v in scores.items()
                if v.per_picture is not None and len(v.per_picture) == len(drawn)
            }
        )
    return found


def reconstruction(
    drawings: Drawings, training: Sequence[Caption], metrics: Sequence[PictureMetric], *, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Return the scores of the image tokenizer alone, and its peak signal-to-noise ratio in decibels."""
    if drawings.reconstructed is None:
        return {}
    passed = Drawings(drawings.captions, drawings.reconstructed)
    true = stack(drawings.captions, "the captions")
    ratio = psnr(drawings.reconstructed, true)
    concepts = [caption.concept for caption in drawings.captions]
    found = {"psnr": entry(Score(float(ratio.mean()), len(ratio), per_picture=ratio), concepts, seed)}
    if training:
        found["psnr"]["baselines"]["mean_picture"] = float(psnr(_mean(training, len(true)), true).mean())
    return {**found, **score(passed, training, metrics, seed=seed, beside=("mean_picture", "real"))}


def psnr(pictures: Tensor, true: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each picture in decibels `(N,)`, at most 100."""
    error = (pictures.float() - true.float()).div(255).square().flatten(1).mean(1)
    return -10 * error.clamp_min(1e-10).log10()


def entry(score: Score, concepts: Sequence[str], seed: int) -> dict[str, Any]:
    """Return a score as metrics.json holds it."""
    interval = None
    if score.per_picture is not None:
        fits = len(score.per_picture) == len(concepts)
        interval = mean_interval(score.per_picture, concepts if fits else None, seed=seed)
    elif score.resampled is not None:
        interval = statistic_interval(score.resampled, concepts, seed=seed)
    shown = interval is not None and all(math.isfinite(end) for end in interval)
    return {
        "value": score.value,
        "n": score.n,
        "candidates": score.candidates,
        "chance": score.chance,
        "ci95": list(interval) if interval is not None and shown else None,
        "spread": score.spread,
        "baselines": {},
    }


def baselines(
    drawings: Drawings, training: Sequence[Caption], true: PictureSet, train: PictureSet, *, seed: int
) -> dict[str, PictureSet]:
    """Return the pictures that stand in for drawings, by name.

    `real:same` and `real:other` are both `real`; each metric says which it needs.
    """
    sets = {}
    if len(train):
        likest = nearest_captions([caption.text for caption in drawings.captions], [item.text for item in training])
        sets["nearest_caption"] = train.select(likest)
        sets["mean_picture"] = _set(_mean(training, len(true)))
        taken = set(true.identities())
        free = torch.tensor([row for row, key in enumerate(train.identities()) if key not in taken], dtype=torch.long)
        order = torch.randperm(len(free), generator=_generator(seed))[: len(true)]
        sets["real:other"] = train.select(free[order])
    sets["real:same"] = true
    if drawings.reconstructed is not None:
        sets["reconstruction"] = _set(drawings.reconstructed)
    return sets


def nearest_captions(asked: Sequence[str], known: Sequence[str]) -> list[int]:
    """Return for each caption the place of the known caption that shares most with it.

    Words are weighed by how rare they are among the known captions (tf-idf, cosine). Among equals, and where
    no word is shared, the caption itself decides by its checksum, so that no one picture stands in for all.
    """
    words = [Counter(re.findall(r"\w+", text.lower())) for text in known]
    occurrence = Counter(word for counts in words for word in counts)
    places = {word: place for place, word in enumerate(occurrence)}
    weight = torch.tensor([math.log((1 + len(known)) / (1 + count)) + 1 for count in occurrence.values()])

    def vectors(all_counts: Sequence[Counter[str]]) -> Tensor:
        table = torch.zeros(len(all_counts), len(places))
        for row, counts in enumerate(all_counts):
            for word, count in counts.items():
                if word in places:
                    table[row, places[word]] = count
        return F.normalize(table * weight, dim=1)

    queries = [Counter(re.findall(r"\w+", text.lower())) for text in asked]
    # rounded, so that equal captions tie on every machine
    likeness = (vectors(queries) @ vectors(words).T * 1e5).round()
    best = [(row == row.max()).nonzero().flatten() for row in likeness]
    return [int(ties[zlib.crc32(text.encode()) % len(ties)]) for text, ties in zip(asked, best, strict=True)]


def _mean(training: Sequence[Caption], count: int) -> Tensor:
    pictures = stack(training, "the training split").float().mean(0).round().to(torch.uint8)
    return pictures.expand(count, *pictures.shape).contiguous()


def _set(pictures: Tensor) -> PictureSet:
    return PictureSet(pictures, features)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
