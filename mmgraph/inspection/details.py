"""The part of an inspection that follows one sample from segments to scored positions."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text
from torch import Tensor

from mmgraph.inspection.tables import cut, lines, table
from mmgraph.inspection.views import PieceView, SampleView, ranges
from mmgraph.sequence import Segment


def follow(view: SampleView) -> list[RenderableType]:
    """Return the tables of one sample: segments, spans, positions, scored positions."""
    segments = table("Segments: what the sample says", "item", "modality", "content", "shape", "is")
    for item, segment in enumerate(view.sample.segments):
        segments.add_row(
            str(item),
            segment.modality,
            _content(segment),
            _shape(segment),
            "to be produced" if segment.target else "given",
        )
    spans = table(
        "Spans: how the model reads it",
        "span",
        "item",
        "tokenizer",
        "connector",
        "head",
        "role",
        "place",
        "visible",
        "source",
    )
    for index, span in enumerate(view.spans):
        spans.add_row(
            str(index),
            str(span.item),
            span.tokenizer,
            span.connector or "-",
            span.head or "-",
            span.role,
            span.place,
            span.visible,
            span.source,
        )
    return [segments, spans, _positions(view), _scores(view), *_prefix(view)]


def _content(segment: Segment) -> str:
    if isinstance(segment.content, str):
        return cut(repr(segment.content), 40)
    if isinstance(segment.content, Tensor):
        content = segment.content
        return f"values {content.min():g} to {content.max():g}"
    return cut(str(segment.content), 40)


def _shape(segment: Segment) -> str:
    if isinstance(segment.content, Tensor):
        sizes = ", ".join(str(size) for size in segment.content.shape)
        return f"(C, height, width) = ({sizes}) {str(segment.content.dtype).removeprefix('torch.')}"
    return f"{len(segment.content)} letters" if isinstance(segment.content, str) else ""


def _positions(view: SampleView) -> Table:
    title = f"Positions: the strip of {view.length} that the blocks read"
    found = table(
        title,
        "position",
        "tokens",
        "what",
        "modality",
        "role",
        "order",
        "may read",
        "time",
        right=("tokens",),
    )
    for piece in view.pieces:
        found.add_row(
            ranges(range(piece.start, piece.stop)),
            str(piece.stop - piece.start),
            cut(piece.label if piece.marker or not piece.words else "|".join(piece.words), 34),
            piece.modality,
            piece.role,
            piece.order if piece.stop - piece.start > 1 else "-",
            _reads(view.mask, piece),
            "" if piece.time is None else f"t = {piece.time:.2f}",
        )
    return found


def _reads(mask: Tensor, piece: PieceView) -> str:
    """Return what the first and the last position of a piece may attend to."""
    first, last = (ranges(mask[place].nonzero().flatten().tolist()) for place in (piece.start, piece.stop - 1))
    return first if first == last else f"{first} … {last}"


def _scores(view: SampleView) -> Table:
    found = table(
        "Scored: what each head predicts",
        "head",
        "tokens at",
        "from states at",
        "terms",
        "against",
        right=("terms",),
    )
    for scored in view.scored:
        found.add_row(
            f"{scored.head} ({scored.kind})",
            ranges(scored.tokens),
            ranges(scored.states),
            str(scored.terms),
            cut(scored.against, 40),
        )
    return found


def _prefix(view: SampleView) -> list[RenderableType]:
    found: list[RenderableType] = []
    for piece in view.pieces:
        if piece.static_prefix is not None:
            where = f"positions {ranges(range(piece.start, piece.stop))} ({piece.label})"
            can = (
                f"nothing before {where} reads them or their time, so the prefix is computed once for all steps"
                if piece.static_prefix
                else f"something before {where} reads them or their time, so each step computes the prefix again"
            )
            found += [lines(("Cache", f"{can}.")), Text()]
    return found
