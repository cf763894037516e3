"""Graph segments among a sample's spans: one span in their place, or the neighbours written out.

Processors know nothing of graphs: what they make of texts and pictures stays as it is, whichever of them it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from mmgraph.models.graph_input import MODALITIES, GraphInput
from mmgraph.processors import Processor
from mmgraph.sequence import Sample, Segment, Span

NAME = "graph"
"""What spans of graphs have in the place of a tokenizer's name."""


def has_graph(sample: Sample) -> bool:
    """Whether a sample has a graph segment."""
    return any(segment.modality == "graph" for segment in sample.segments)


def insert(
    processor: Processor, sample: Sample, training: bool, place: Literal["sequence", "memory", "condition"]
) -> list[Span]:
    """Return the processor's spans of a sample, with one span for each graph segment where it stands.

    A segment without content is a graph that is not there: its span is null, as if it had been dropped.

    Args:
        processor: Reads the other segments.
        sample: What is read.
        training: As in `Processor.expand`.
        place: Where the injector's tokens go.
    """
    kept = [item for item, segment in enumerate(sample.segments) if segment.modality != "graph"]
    found = processor.expand([sample.segments[item] for item in kept], sample.task, training)
    spans = [
        replace(span, item=kept[span.item], target=None if span.target is None else kept[span.target])
        for span in found
    ]
    for item, segment in enumerate(sample.segments):
        if segment.modality == "graph":
            at = next((number for number, span in enumerate(spans) if span.item > item), len(spans))
            source: Literal["item", "null"] = "null" if segment.content is None else "item"
            spans.insert(at, Span(item, "graph", NAME, place=place, source=source))
    return spans


def write_out(
    processor: Processor,
    given: GraphInput,
    samples: Sequence[Sample],
    spans: Sequence[list[Span]],
    *,
    leading: bool = False,
) -> tuple[list[Sample], list[list[Span]]]:
    """Return samples and spans with each graph span replaced by its neighbours: a marker and contents of each.

    With `leading`, one more graph span stands before them.

    The new segments stand behind the others, so that spans which are there keep their numbers.
    """
    samples, spans = list(samples), [list(own) for own in spans]
    places = given.places.tolist()
    valid = given.batch.neighbourhood.valid.sum(1).tolist()
    for row, (s, item) in enumerate(given.segments):
        segments = list(samples[s].segments)
        marker = next(span for span in spans[s] if span.item == item and span.modality == "graph")
        written: list[Span] = [marker] if leading else []
        for place in places[row][1 : 1 + valid[row]]:
            held = [(modality, given.content(modality, place)) for modality in MODALITIES]
            new = [Segment(modality, content) for modality, content in held if content is not None]
            read = processor.expand(new, samples[s].task, False) if new else []
            written.append(marker)
            written += [replace(span, item=len(segments) + span.item) for span in read]
            segments += new
        at = spans[s].index(marker)
        spans[s][at : at + 1] = written
        samples[s] = replace(samples[s], segments=tuple(segments))
    return samples, spans
