"""What stands before the segment that is to be produced, laid out for reading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from mmgraph.errors import UsageError
from mmgraph.heads import Head
from mmgraph.models.assembly import Assembly
from mmgraph.models.conditions import without
from mmgraph.models.unified import UnifiedModel
from mmgraph.randomness import SampleRandom
from mmgraph.sequence import Sample, Span

Guidance = float | Mapping[str, float]
Guidances = Guidance | Sequence[Guidance]
"""One guidance for all, or one of each sample."""


def contrasts(model: UnifiedModel, guidance: Guidances, rows: int) -> dict[str, float | Tensor]:
    """Return the scale on each condition of the model that is guided: text first, then picture, then graph.

    Raises:
        UsageError: As `guidance_scales`.
    """
    known = ("text", *sorted({span.modality for span in model.processor.templates()} & {"image"}))
    known += ("graph",) if model.graph is not None else ()
    found = {name: guidance_scales(guidance, rows, name, known) for name in known}
    return {name: scale for name, scale in found.items() if isinstance(scale, Tensor) or scale != 1.0}


def guidance_scales(
    guidance: Guidances, rows: int, modality: str = "text", known: Sequence[str] = ("text",)
) -> float | Tensor:
    """Return the scale on one condition: one number, or one of each row `(N,)` where they differ.

    Raises:
        UsageError: If there is not one for each row, or if one is for a condition that is not `known`.
    """
    if isinstance(guidance, (int, float, Mapping)):
        return guidance_scale(guidance, modality, known)
    scales = [guidance_scale(one, modality, known) for one in guidance]
    if len(scales) != rows:
        raise UsageError(f"{len(scales)} guidances are given for {rows} samples; give one, or one of each.")
    return scales[0] if len(set(scales)) == 1 else torch.tensor(scales)


def guidance_scale(guidance: Guidance, modality: str = "text", known: Sequence[str] = ("text",)) -> float:
    """Return the scale on one condition; a single number is that on text.

    Raises:
        UsageError: If a scale is given for a condition that is not `known`.
    """
    if isinstance(guidance, Mapping):
        unknown = sorted(set(guidance) - set(known))
        if unknown:
            raise UsageError(
                f"guidance on '{unknown[0]}' is not known to this model; give a scale for {' or '.join(known)}."
            )
        return float(guidance.get(modality, 1.0))
    return float(guidance) if modality == "text" else 1.0


@contextmanager
def evaluating(model: UnifiedModel) -> Iterator[None]:
    """Turn dropout off, and on again however the block is left."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def head_of(model: UnifiedModel, span: Span) -> Head:
    """Return the head that produces a span.

    Raises:
        UsageError: If the model has none.
    """
    if span.head is None or span.head not in model.heads:
        raise UsageError(f"this model has no head for {span.modality}; it has {', '.join(model.heads) or 'none'}.")
    return model.head(span.head)


def prefix_of(
    model: UnifiedModel, samples: Sequence[Sample], seed: int, *, contrast: Sequence[str] = (), go_on: bool = False
) -> tuple[Span, Assembly, int]:
    """Lay out what stands before the open span, and once more for each condition in `contrast`.

    The first copy lacks the last of them, the next the last two, and the last copy all: `("text", "graph")` gives
    all, without the graph, without both.

    With `go_on` an open text after a text continues it: no separator stands between them.

    Returns:
        The open span, the layout, and the span's number of tokens (0 for words).
    """
    spans = [model.spans(sample, False) for sample in samples]
    last = spans[0][-1]
    if any(own[-1].head != last.head or own[-1].role != "target" for own in spans):
        raise UsageError("the last segment of every sample must be the open one, all of one modality.")
    rows, given = list(samples), list(spans)
    if go_on:
        given = [own[:-1] if [span.modality for span in own[-2:]] == ["text"] * 2 else own for own in spans]
    for name in reversed(contrast):
        rows += samples
        given += [without(own, name) for own in given[-len(spans) :]]
    random = SampleRandom(seed, [sample.key for sample in rows])
    prefix = model.assembler.assemble(rows, given, random, closed=False)
    tokens = model.tokenizer(last.tokenizer).num_tokens if not last.words else 0
    return last, prefix, tokens
