"""What stands before the segment that is to be produced, laid out for reading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from mmgraph.errors import UsageError
from mmgraph.heads import Head
from mmgraph.models.assembly import Assembly
from mmgraph.models.conditions import without
from mmgraph.models.unified import UnifiedModel
from mmgraph.randomness import SampleRandom
from mmgraph.sequence import Sample, Span

Guidance = float | Mapping[str, float]


def guidance_scale(guidance: Guidance) -> float:
    """Return the scale on text.

    Raises:
        UsageError: If a scale is given for a condition that is not text.
    """
    if isinstance(guidance, Mapping):
        unknown = sorted(set(guidance) - {"text"})
        if unknown:
            raise UsageError(f"guidance on '{unknown[0]}' is not known to this model; give a scale for text.")
        return float(guidance.get("text", 1.0))
    return float(guidance)


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
    model: UnifiedModel, samples: Sequence[Sample], seed: int, *, contrast: bool = False, go_on: bool = False
) -> tuple[Span, Assembly, int]:
    """Lay out what stands before the open span; with `contrast`, once more without the text.

    With `go_on` an open text after a text continues it: no separator stands between them.

    Returns:
        The open span, the layout, and the span's number of tokens (0 for text).
    """
    spans = [model.spans(sample, False) for sample in samples]
    last = spans[0][-1]
    if any(own[-1].head != last.head or own[-1].role != "target" for own in spans):
        raise UsageError("the last segment of every sample must be the open one, all of one modality.")
    rows, given = list(samples), list(spans)
    if go_on:
        given = [own[:-1] if [span.modality for span in own[-2:]] == ["text"] * 2 else own for own in spans]
    if contrast:
        rows += samples
        given += [without(own, "text") for own in spans]
    random = SampleRandom(seed, [sample.key for sample in rows])
    prefix = model.assembler.assemble(rows, given, random, closed=False)
    tokens = model.tokenizer(last.tokenizer).num_tokens if last.modality != "text" else 0
    return last, prefix, tokens
