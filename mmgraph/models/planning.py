"""From a sample's spans to the run of positions it takes: which markers stand around them, and what is scored.

Spans of one segment that follow each other are one picture to the reader: they share one pair of markers. So a
noised copy that only its own may see leaves no trace in what is read after it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from mmgraph.heads import Head
from mmgraph.sequence import Piece, Span
from mmgraph.vocabulary import BOI, BOS, EOI, EOS, NULL, SEP

_MARKER = Piece(1)


@dataclass
class Plan:
    """The pieces of one sample.

    Args:
        spans: What the sample consists of.
        pieces: In reading order, markers among them.
        fills: What fills each piece: a span's number, or a marker's id as -1 - id.
        scored: Which pieces are text that is predicted: target text, begin of a target image, end of the sample.
        told: By number of a span whose head is apart, the pieces whose hidden states it reads.
    """

    spans: list[Span]
    pieces: list[Piece] = field(default_factory=list)
    fills: list[int] = field(default_factory=list)
    scored: list[int] = field(default_factory=list)
    told: dict[int, list[int]] = field(default_factory=dict)

    def mark(self, marker: int, scored: bool = False) -> None:
        """Add a marker."""
        self.add(_MARKER, -1 - marker, scored)

    def add(self, piece: Piece, fill: int, scored: bool = False) -> None:
        """Add a piece."""
        if scored:
            self.scored.append(len(self.pieces))
        self.pieces.append(piece)
        self.fills.append(fill)


class Planner:
    """Turns spans into pieces for one model.

    Args:
        widths: How many positions a span of n tokens takes, by connector.
        heads: By the tokenizer that each models.
        timed: Tokenizers whose spans have a noise level.
    """

    def __init__(
        self, *, widths: Mapping[str, Callable[[int], int]], heads: Mapping[str, Head], timed: Collection[str]
    ) -> None:
        self.widths = widths
        self.heads = heads
        self.timed = frozenset(timed)

    def plan(self, spans: list[Span], tokens: Mapping[int, Tensor], closed: bool) -> Plan:
        """Lay out one sample.

        Args:
            spans: In reading order.
            tokens: Of each span that is read, by its number.
            closed: False leaves out the target and all behind it, for generation to fill in.
        """
        plan = Plan(spans)
        plan.mark(BOS)
        after_text = False
        for number, span in enumerate(spans):
            if span.source == "null":
                plan.mark(NULL[span.modality])
                after_text = False
                continue
            target = span.role == "target"
            if span.modality == "graph":
                if span.place != "condition":  # which takes no position
                    memory = span.place == "memory"
                    plan.add(_MARKER if memory else self.piece(span, len(tokens[number]), number), number)
                    after_text = False
                continue
            if span.words:
                if after_text:
                    plan.mark(SEP)
                if target and not closed:
                    return plan
                if len(tokens[number]):
                    order = span.order or "causal"
                    piece = Piece(len(tokens[number]), "text", span.role, number, order, span.visible)
                    plan.add(piece, number, scored=target)
                after_text = True
                continue
            if span.source == "tool":
                if not closed:
                    return plan
                continue
            run = _run(spans, number)
            if number == run[0]:
                plan.mark(BOI, scored=any(spans[other].role == "target" for other in run))
            if self._apart(span):
                plan.told[number] = self._told(plan, span)
            if target and not closed:
                return plan
            if span.place == "memory":  # its end marker keeps its place: from there on it is seen
                plan.add(_MARKER, number)
            else:
                plan.add(self.piece(span, len(tokens[number]), number), number)
                if number == run[-1]:
                    plan.mark(EOI)
            after_text = False
        if closed:
            plan.mark(EOS, scored=spans[-1].role == "target")
        return plan

    def piece(self, span: Span, num_tokens: int, number: int = 0) -> Piece:
        """Return the piece that a span of pictures (or anything but text) takes."""
        if span.source == "queries":
            return Piece(num_tokens, span.modality, span.role, number, span.order or "causal", span.visible)
        if self._apart(span):
            return Piece(0, span.modality, span.role, number, "full", span.visible)
        length = self.widths[span.connector](num_tokens) if span.connector else num_tokens
        head = self.heads.get(span.tokenizer)
        order = span.order or (head.span_order(num_tokens) if head is not None else "full")
        return Piece(length, span.modality, span.role, number, order, span.visible, span.tokenizer in self.timed)

    def _apart(self, span: Span) -> bool:
        """Whether a span is drawn by a network of its own."""
        return span.role == "target" and span.tokenizer in self.heads and self.heads[span.tokenizer].apart

    def _told(self, plan: Plan, span: Span) -> list[int]:
        """Return the pieces so far whose hidden states the head of a span reads."""
        if self.heads[span.tokenizer].reads == "prompt":
            return list(range(len(plan.pieces)))
        filled = [(k, plan.spans[fill]) for k, fill in enumerate(plan.fills) if fill >= 0]
        return [k for k, own in filled if own.source == "queries" and own.item == span.item]


def _run(spans: Sequence[Span], number: int) -> range:
    """Return the numbers of the spans that share one pair of markers with a span."""
    own = spans[number]

    def joined(other: Span) -> bool:
        stands = other.source not in ("null", "tool")
        return (other.item, other.place, stands) == (own.item, "sequence", True)

    first = last = number
    if own.place == "sequence":
        while first > 0 and joined(spans[first - 1]):
            first -= 1
        while last + 1 < len(spans) and joined(spans[last + 1]):
            last += 1
    return range(first, last + 1)
