"""From samples to what the body reads and what the heads score.

Spans decide everything: which markers stand around them, which positions are timed, which hidden states are
scored against which tokens. Ragged batches and batches of one layout take the same way.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmgraph.errors import RunError, UsageError
from mmgraph.heads import Head
from mmgraph.models.graph_context import GraphContext
from mmgraph.models.graph_input import GraphInput
from mmgraph.models.grouping import Group, Grouper, Placed, Scored, Words, padded, score_words, scored_words
from mmgraph.models.planning import Plan, Planner
from mmgraph.randomness import SampleRandom
from mmgraph.sequence import Layout, Piece, Sample, Span, lay_out, pack
from mmgraph.tokenizers import Tokenizer
from mmgraph.vocabulary import EOI, PAD, SEP, Vocabulary


@dataclass
class Assembly:
    """A batch, ready to be embedded and scored."""

    layout: Layout
    ids: Tensor  # (B, L) text and markers; padding elsewhere
    times: Tensor  # one per timed span
    groups: list[Group] = field(default_factory=list)
    scored: list[Scored] = field(default_factory=list)
    texts: Tensor | None = None  # (samples, k) ids of each sample's context texts, -1 after their end
    graph: GraphInput | None = None  # what is read of graph segments
    timed: Tensor | None = None  # the sample of each timed span; None: one a sample
    told: Tensor | None = None  # (samples, m) places that the head of the open span reads, where it is apart


@dataclass
class _Tokens:
    """The tokens of one sample's spans, by the span's number."""

    own: dict[int, Tensor] = field(default_factory=dict)
    beside: dict[int, Tensor] = field(default_factory=dict)


class Assembler:
    """Lays samples out for one model.

    Args:
        tokenizers: By the name that spans use.
        heads: By the name that spans use.
        head_tokenizer: Which tokenizer each head models.
        widths: How many positions a span of n tokens takes, by connector.
        vocabulary: Ids of everything discrete.
        text_aware: Names of the connectors that read the sample's context texts.
        text_head: The head that predicts markers.
        row_length: Pack several samples into rows of this many positions; None: one sample a row.
        graph: What reads graph segments.
    """

    def __init__(
        self,
        tokenizers: Mapping[str, Tokenizer],
        heads: Mapping[str, Head],
        *,
        head_tokenizer: Mapping[str, str],
        widths: Mapping[str, Any],
        vocabulary: Vocabulary,
        text_aware: Collection[str] = (),
        text_head: str | None,
        row_length: int | None = None,
        graph: GraphContext | None = None,
    ) -> None:
        self.tokenizers = tokenizers
        self.heads = heads
        self.vocabulary = vocabulary
        self.text_aware = frozenset(text_aware)
        self.text_head = text_head
        self.row_length = row_length
        self.graph = graph
        self._planner = Planner(
            widths=widths,
            heads={head_tokenizer[name]: head for name, head in heads.items()},
            timed={head_tokenizer[name] for name, head in heads.items() if head.timed and not head.apart},
        )
        self._grouper = Grouper(heads, widths=widths, vocabulary=vocabulary, text_aware=text_aware)

    def assemble(
        self,
        samples: Sequence[Sample],
        spans: Sequence[list[Span]],
        random: SampleRandom,
        *,
        closed: bool = True,
        fixed_time: float | None = None,
        training: bool = False,
    ) -> Assembly:
        """Lay out a batch.

        Args:
            samples: What is read.
            spans: The spans of each sample.
            random: One stream per sample, for noise and time.
            closed: True for training; False leaves out the target, for generation to fill in.
            fixed_time: One noise level for all timed targets, for paired evaluation.
            training: Whether contents of held-out nodes of a graph are hidden.
        """
        graph = None
        if self.graph is not None:
            samples, spans, graph = self.graph.prepare(samples, spans, self._tokenize, training=training)
        tokens = self._encode(samples, spans, closed)
        for (s, number), rows_of_table in (graph.numbers if graph is not None else {}).items():
            tokens[s].own[number] = rows_of_table
        plans = [self._planner.plan(own, tokens[s].own, closed) for s, own in enumerate(spans)]
        rows = [[s] for s in range(len(samples))]
        if self.row_length is not None:
            rows = pack([sum(piece.length for piece in plan.pieces) for plan in plans], self.row_length)
        layout, starts = lay_out([[tuple(plans[s].pieces) for s in row] for row in rows])
        height, width = layout.shape
        ids = [PAD] * (height * width)  # a list: each marker written to a tensor would cost a call
        placed: list[Placed] = []
        words: list[Words] = []
        timed: list[int] = []
        opened: dict[int, list[int]] = {}
        for r, row in enumerate(rows):
            for s, begin in zip(row, starts[r], strict=True):
                plan = plans[s]
                told = {number: _places(plan, begin, r * width, read) for number, read in plan.told.items()}
                if not closed and plan.spans and len(plan.spans) - 1 in told:
                    opened[s] = told[len(plan.spans) - 1]
                for fill, piece, start in zip(plan.fills, plan.pieces, begin, strict=True):
                    place = r * width + start
                    if fill < 0:
                        ids[place] = -fill - 1
                        continue
                    span, found = plan.spans[fill], tokens[s].own[fill]
                    time_row = len(timed) if piece.timed else -1
                    timed += [s] * piece.timed
                    if span.words:
                        ids[place : place + piece.length] = self.vocabulary.ids(span.tokenizer, found).tolist()
                        continue
                    if span.place == "memory":
                        ids[place] = SEP if span.modality == "graph" else EOI
                    beside = tokens[s].beside.get(fill)
                    placed.append(Placed(s, span, found, place, time_row, beside, told.get(fill, [])))
                if closed:
                    words += scored_words(s, plan, begin, r * width, ids)
        assembly = Assembly(layout, torch.tensor(ids, dtype=torch.long).view(height, width), torch.ones(len(timed)))
        assembly.graph, assembly.timed = graph, torch.tensor(timed, dtype=torch.long)
        assembly.told = padded([opened[s] for s in range(len(samples))]) if opened else None
        if words and self.text_head is not None:
            assembly.scored.append(score_words(self.text_head, self.heads[self.text_head], words, random))
        if any(entry.span.connector in self.text_aware for entry in placed):
            assembly.texts = self._texts(spans, tokens)
        assembly.groups, scored = self._grouper.group(placed, assembly.times, random, fixed_time)
        assembly.scored += scored
        return assembly

    def piece(self, span: Span, num_tokens: int) -> Piece:
        """Return the piece that a span of pictures (or anything but text) takes."""
        return self._planner.piece(span, num_tokens)

    def _encode(self, samples: Sequence[Sample], spans: Sequence[list[Span]], closed: bool) -> list[_Tokens]:
        """Return the tokens of each sample's spans, each tokenizer called once for the whole batch."""
        tokens = [_Tokens() for _ in samples]
        wanted: dict[str, dict[tuple[int, int], list[tuple[dict[int, Tensor], int]]]] = {}
        for s, own in enumerate(spans):
            for number, span in enumerate(own):
                if span.source == "queries":
                    tokens[s].own[number] = torch.arange(span.num_queries)
                if span.source != "item" or span.modality == "graph" or (span.role == "target" and not closed):
                    continue
                for name, into in ((span.tokenizer, tokens[s].own), (span.beside, tokens[s].beside)):
                    if name is not None:  # two spans of one segment are encoded once
                        wanted.setdefault(name, {}).setdefault((s, span.item), []).append((into, number))
        for name, entries in wanted.items():
            contents = self._contents(name, [(samples[s], item) for s, item in entries])
            for users, found in zip(entries.values(), self.tokenizers[name].encode(contents), strict=True):
                for into, number in users:
                    into[number] = found
        return tokens

    def _contents(self, name: str, items: Sequence[tuple[Sample, int]]) -> Any:
        """Return the contents of segments as a tokenizer takes them: texts as they are, pictures stacked."""
        contents: list[Any] = []
        for sample, item in items:
            segment = sample.segments[item]
            if segment.content is None:
                raise RunError(f"segment {item} ({segment.modality}) of sample {sample.key} has no content.")
            contents.append(segment.content)
        return self._stacked(name, contents)

    def _tokenize(self, span: Span, contents: list[Any]) -> Sequence[Tensor]:
        return list(self.tokenizers[span.tokenizer].encode(self._stacked(span.tokenizer, contents)))

    def _stacked(self, name: str, contents: list[Any]) -> Any:
        if self.tokenizers[name].modality == "text":
            return contents
        shapes = {tuple(content.shape) for content in contents}
        if len(shapes) > 1:
            raise UsageError(f"tokenizer '{name}' reads pictures of one shape, the batch has {sorted(shapes)}.")
        return torch.stack(contents).to(self.vocabulary.output.weight.device)

    def _texts(self, spans: Sequence[list[Span]], tokens: Sequence[_Tokens]) -> Tensor:
        """Return the ids of each sample's context texts `(samples, k)`; targets are never among them."""
        found = []
        for own, known in zip(spans, tokens, strict=True):
            parts = [
                self.vocabulary.ids(span.tokenizer, known.own[number])
                for number, span in enumerate(own)
                if span.words and span.role == "context" and span.source == "item"
            ]
            found.append(torch.cat(parts) if parts else torch.empty(0, dtype=torch.long))
        return pad_sequence(found, batch_first=True, padding_value=-1)


def _places(plan: Plan, begin: Sequence[int], base: int, pieces: Sequence[int]) -> list[int]:
    """Return the places of some pieces' positions."""
    return [base + begin[k] + step for k in pieces for step in range(plan.pieces[k].length)]
