"""What an autoencoder keeps of a picture: pixels, features, the use of its codes, and what an oracle still reads.

Oracles are data sets that can tell what a picture shows (`Dataset.check`): then every attribute's accuracy after
reconstruction stands beside its accuracy on the true pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from mmgraph.datasets import Dataset
from mmgraph.evaluation import drawing
from mmgraph.evaluation import oracle as truth
from mmgraph.evaluation.drawing import Drawings, entry
from mmgraph.evaluation.examples import Caption, stack
from mmgraph.metrics import Meaning, PictureMetric, Score
from mmgraph.tokenizers import Tokenizer

BATCH = 128
MEANINGS = {
    "psnr": Meaning("PSNR (dB)", "Peak signal-to-noise ratio of the image tokenizer alone.", "higher"),
    "rmse": Meaning("RMSE of 255", "Root mean squared error of a pixel, of 255.", "lower", headline=True),
    "codebook_use": Meaning("Codes used", "Share of the codebook that these pictures use.", "none"),
    "perplexity": Meaning(
        "Code perplexity", "How many codes, all used alike, would be as hard to guess as these.", "none"
    ),
    "bits": Meaning("Bits a picture", "Tokens of a picture times the bits of one code.", "none"),
}


def meanings(names: Iterable[str]) -> dict[str, Meaning]:
    """Return what each of these scores says, those of attributes among them."""
    return {**MEANINGS, **truth.meanings(names)}


def measure(
    tokenizer: Tokenizer,
    captions: Sequence[Caption],
    training: Sequence[Caption],
    metrics: Sequence[PictureMetric],
    *,
    dataset: Dataset,
    seed: int = 0,
    device: Any = "cpu",
) -> tuple[Drawings, dict[str, dict[str, Any]]]:
    """Pass pictures through a tokenizer; return them and the scores as metrics.json holds them.

    Args:
        tokenizer: Trained; in evaluation mode.
        captions: The pictures with what they show.
        training: Training pictures, for the metrics that need some.
        metrics: Picture metrics.
        dataset: Where the pictures come from; asked what they show where it can tell.
        seed: Decides subsets and resamples.
        device: Where the tokenizer is.
    """
    true = stack(captions, "the captions")
    again, tokens = reconstruct(tokenizer, true, device)
    result = Drawings(captions, again, again, section="reconstruction")
    scores = drawing.reconstruction(result, training, metrics, seed=seed)
    result.per_picture = {"psnr": drawing.psnr(again, true)}
    concepts = [caption.concept for caption in captions]
    own = {"rmse": _rmse(again, true)}
    if tokenizer.discrete:
        own |= code_scores(tokens, tokenizer.codebook_size)
    rows = {name: entry(score, concepts, seed) for name, score in own.items()}
    for name, (after, before) in oracle(dataset, captions, again).items():
        rows[name] = entry(after, concepts, seed)
        rows[name]["baselines"]["real"] = before
    return result, {"rmse": rows.pop("rmse"), **{name: scores[name] for name in ("psnr",)}, **rows, **scores}


@torch.no_grad()
def reconstruct(tokenizer: Tokenizer, pictures: Tensor, device: Any = "cpu") -> tuple[Tensor, Tensor]:
    """Return uint8 pictures after encoding and decoding, and their tokens."""
    parts = []
    for part in pictures.split(BATCH):
        tokens = tokenizer.encode(part.to(device))
        assert isinstance(tokens, Tensor)
        parts.append((tokenizer.decode(tokens).cpu(), tokens.cpu()))
    return torch.cat([again for again, _ in parts]), torch.cat([tokens for _, tokens in parts])


def code_scores(codes: Tensor, size: int) -> dict[str, Score]:
    """Return the use and the perplexity of codes `(N, n)`, and the bits of a picture."""
    share = torch.bincount(codes.flatten(), minlength=size).double() / codes.numel()
    return {
        "codebook_use": Score(float(share.gt(0).double().mean()), len(codes)),
        "perplexity": Score(float(torch.special.entr(share).sum().exp()), len(codes)),
        "bits": Score(codes.shape[1] * math.log2(size), len(codes)),
    }


def oracle(dataset: Dataset, captions: Sequence[Caption], again: Tensor) -> dict[str, tuple[Score, float]]:
    """Return for each attribute the accuracy after reconstruction and on the true pictures; nothing without truth."""
    asked = truth.items(dataset, captions)
    if not asked:
        return {}
    before = truth.read(dataset, asked, (caption.picture for caption in captions))
    after = truth.read(dataset, asked, again)
    return {
        name: (Score(float(rights.mean()), len(rights), per_picture=rights), float(before[name].mean()))
        for name, rights in after.items()
    }


def _rmse(again: Tensor, true: Tensor) -> Score:
    squared = (again.float() - true.float()).square().flatten(1).mean(1)

    def resampled(counts: Tensor) -> Tensor:
        return ((counts.to(squared) @ squared) / counts.sum(1)).sqrt()

    return Score(float(squared.mean().sqrt()), len(squared), resampled=resampled)
