"""Dropped conditions: context replaced by one learned token, so that guidance has something to contrast with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mmgraph.sequence import Span


def drop_conditions(spans: list[Span], probabilities: Mapping[str, float], draw: float) -> list[Span]:
    """Return the spans with context of some modalities replaced by its learned null token.

    Texts and pictures are dropped only where the target is not text: guidance contrasts drawing with and without the
    condition, while answers always need theirs. A graph may be missing everywhere. One draw decides all, in
    disjoint ranges; a name like `text+graph` drops both.

    Args:
        spans: Of one sample.
        probabilities: Modality, or several joined by `+` -> probability that its context is dropped.
        draw: Uniform in [0, 1).
    """
    answers = not any(span.role == "target" and span.modality != "text" for span in spans)
    threshold = 0.0
    for names, probability in probabilities.items():
        if threshold <= draw < threshold + probability:
            for modality in names.split("+"):
                spans = spans if answers and modality != "graph" else without(spans, modality)
            return spans
        threshold += probability
    return spans


def without(spans: list[Span], modality: str) -> list[Span]:
    """Return the spans with the context of one modality replaced by its null token, one for each segment.

    What is produced in the same sample is no condition given to it: its clean copies and queries stay.
    """
    produced = {span.item for span in spans if span.role == "target"}
    kept: list[Span] = []
    for span in spans:
        given = span.source == "item" and span.role == "context" and span.item not in produced
        if not given or span.modality != modality:
            kept.append(span)
        elif not kept or (kept[-1].source, kept[-1].item) != ("null", span.item):
            kept.append(replace(span, source="null"))
    return kept
