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
from mmgraph.models.grouping import Group, Grouper, Placed, Scored, Words, score_words, scored_words
from mmgraph.models.planning import Planner
from mmgraph.randomness import SampleRandom
from mmgraph.sequence import Layout, Piece, Sample, Span, lay_out, pack
from mmgraph.tokenizers import Tokenizer
from mmgraph.vocabulary import EOI, PAD, Vocabulary


@dataclass
class Assembly:
    """A batch, ready to be embedded and scored."""

    layout: Layout
    ids: Tensor  # (B, L) text and markers; padding elsewhere
    times: Tensor  # one per timed span
    groups: list[Group] = field(default_factory=list)
    scored: list[Scored] = field(default_factory=list)
    texts: Tensor | None = None  # (samples, k) ids of each sample's context texts, -1 after their end


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
    ) -> None:
        self.tokenizers = tokenizers
        self.heads = heads
        self.vocabulary = vocabulary
        self.text_aware = frozenset(text_aware)
        self.text_head = text_head
        self.row_length = row_length
        self._planner = Planner(
            widths=widths,
            heads={head_tokenizer[name]: head for name, head in heads.items()},
            timed={head_tokenizer[name] for name, head in heads.items() if head.timed},
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
    ) -> Assembly:
        """Lay out a batch.

        Args:
            samples: What is read.
            spans: The spans of each sample.
            random: One stream per sample, for noise and time.
            closed: True for training; False leaves out the target, for generation to fill in.
            fixed_time: One noise level for all timed targets, for paired evaluation.
        """
        tokens = self._encode(samples, spans, closed)
        plans = [self._planner.plan(own, tokens[s].own, closed) for s, own in enumerate(spans)]
        rows = [[s] for s in range(len(samples))]
        if self.row_length is not None:
            rows = pack([sum(piece.length for piece in plan.pieces) for plan in plans], self.row_length)
        layout, starts = lay_out([[tuple(plans[s].pieces) for s in row] for row in rows])
        height, width = layout.shape
        ids = [PAD] * (height * width)  # a list: each marker written to a tensor would cost a call
        placed: list[Placed] = []
        words: list[Words] = []
        timed_count = 0
        for r, row in enumerate(rows):
            for s, begin in zip(row, starts[r], strict=True):
                plan = plans[s]
                for fill, piece, start in zip(plan.fills, plan.pieces, begin, strict=True):
                    place = r * width + start
                    if fill < 0:
                        ids[place] = -fill - 1
                        continue
                    span, found = plan.spans[fill], tokens[s].own[fill]
                    timed = timed_count if piece.timed else -1
                    timed_count += piece.timed
                    if span.modality == "text":
                        ids[place : place + piece.length] = self.vocabulary.ids(span.tokenizer, found).tolist()
                        continue
                    if span.place == "memory":
                        ids[place] = EOI
                    placed.append(Placed(s, span, found, place, timed, tokens[s].beside.get(fill)))
                if closed:
                    words += scored_words(s, plan, begin, r * width, ids)
        assembly = Assembly(layout, torch.tensor(ids, dtype=torch.long).view(height, width), torch.ones(timed_count))
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
                if span.source != "item" or (span.role == "target" and not closed):
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
                if span.modality == "text" and span.role == "context" and span.source == "item"
            ]
            found.append(torch.cat(parts) if parts else torch.empty(0, dtype=torch.long))
        return pad_sequence(found, batch_first=True, padding_value=-1)
