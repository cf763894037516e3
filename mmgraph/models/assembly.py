"""From samples to what the body reads and what the heads score.

Spans decide everything: which markers stand around them, which positions are timed, which hidden states are
scored against which tokens. Ragged batches and batches of one layout take the same way.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmgraph.errors import RunError, UsageError
from mmgraph.heads import Head, Prepared
from mmgraph.randomness import SampleRandom
from mmgraph.sequence import Layout, Piece, Sample, Span, lay_out, pack
from mmgraph.tokenizers import Tokenizer
from mmgraph.vocabulary import BOI, BOS, EOI, EOS, NULL, PAD, SEP, Vocabulary

_MARKER = Piece(1)


@dataclass
class Group:
    """Spans of one tokenizer and connector with equally many tokens: one call embeds them all.

    `place` says where they go. In the sequence, `places (N, m)` are their positions in the flattened (B * L);
    in memory, `places (N, 1)` is the marker from which on they may be attended to.
    """

    tokenizer: str
    connector: str | None
    tokens: Tensor  # (N, n) ids or (N, n, d)
    places: Tensor
    place: Literal["sequence", "memory"] = "sequence"
    texts: Tensor | None = None  # (N,) rows of Assembly.texts, for text-aware connectors
    head: str | None = None  # whose prepared inputs these are; None for what is read as context is
    offset: int = 0  # place of the first token within its span

    def moved(self, width: int, total: int) -> Group:
        """Return the group for rows that were `width` long and are `total` long."""
        return replace(self, places=self.places // width * total + self.places % width)


@dataclass
class Scored:
    """Spans that one head scores."""

    head: str
    prepared: Prepared
    places: Tensor  # (N, n) places of the hidden states that predict, in the flattened sequence
    timed: Tensor | None  # (N,) rows of the conditioning table


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
class _Plan:
    """The pieces of one sample, and what fills each: a marker's id (negative - 1) or a span's number."""

    spans: list[Span]
    pieces: list[Piece]
    fills: list[int]


@dataclass
class _Placed:
    sample: int
    number: int
    span: Span
    tokens: Tensor
    place: int  # of its first token, in the flattened sequence
    timed: int  # its row of the conditioning table, or -1


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
        self.widths = widths
        self.vocabulary = vocabulary
        self.text_aware = frozenset(text_aware)
        self.text_head = text_head
        self.row_length = row_length
        self._timed = {head_tokenizer[name] for name, head in heads.items() if head.timed}
        self._heads = {head_tokenizer[name]: head for name, head in heads.items()}

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
        plans = [self._plan(own, tokens[s], closed) for s, own in enumerate(spans)]
        rows = [[s] for s in range(len(samples))]
        if self.row_length is not None:
            rows = pack([sum(piece.length for piece in plan.pieces) for plan in plans], self.row_length)
        layout, starts = lay_out([[tuple(plans[s].pieces) for s in row] for row in rows])
        height, width = layout.shape
        ids = [PAD] * (height * width)  # a list: each marker written to a tensor would cost a call
        placed: list[_Placed] = []
        words: list[tuple[int, list[int], int]] = []  # sample, scored text ids, place of the first
        timed_count = 0
        for r, row in enumerate(rows):
            for s, begin in zip(row, starts[r], strict=True):
                plan = plans[s]
                for fill, piece, start in zip(plan.fills, plan.pieces, begin, strict=True):
                    place = r * width + start
                    if fill < 0:
                        ids[place] = -fill - 1
                        continue
                    span, found = plan.spans[fill], tokens[s][fill]
                    timed = timed_count if piece.timed else -1
                    timed_count += piece.timed
                    if span.place == "memory":
                        ids[place] = EOI
                        placed.append(_Placed(s, fill, span, found, place, -1))
                    elif span.modality == "text":
                        ids[place : place + piece.length] = self.vocabulary.ids(span.tokenizer, found).tolist()
                    else:
                        placed.append(_Placed(s, fill, span, found, place, timed))
                if closed:
                    words += self._words(s, plan, begin, r * width, ids)
        assembly = Assembly(layout, torch.tensor(ids, dtype=torch.long).view(height, width), torch.ones(timed_count))
        if words and self.text_head is not None:
            assembly.scored.append(self._score_words(words, random))
        if any(entry.span.connector in self.text_aware for entry in placed):
            assembly.texts = self._texts(spans, tokens)
        self._place(assembly, placed, random, fixed_time)
        return assembly

    # -- tokens ---------------------------------------------------------------------------------------------

    def _encode(self, samples: Sequence[Sample], spans: Sequence[list[Span]], closed: bool) -> list[dict[int, Tensor]]:
        """Return the tokens of each sample's spans, each tokenizer called once for the whole batch."""
        wanted: dict[str, list[tuple[int, int, Any]]] = {}
        for s, own in enumerate(spans):
            for number, span in enumerate(own):
                if span.source != "item" or (span.role == "target" and not closed):
                    continue
                content = samples[s].segments[span.item].content
                if content is None:
                    raise RunError(f"segment {span.item} ({span.modality}) of sample {samples[s].key} has no content.")
                wanted.setdefault(span.tokenizer, []).append((s, number, content))
        tokens: list[dict[int, Tensor]] = [{} for _ in samples]
        for name, entries in wanted.items():
            contents: Any = [content for *_, content in entries]
            if self.tokenizers[name].modality != "text":
                shapes = {tuple(content.shape) for content in contents}
                if len(shapes) > 1:
                    raise UsageError(f"tokenizer '{name}' reads pictures of one shape, the batch has {sorted(shapes)}.")
                contents = torch.stack(contents).to(self.vocabulary.output.weight.device)
            for (s, number, _), found in zip(entries, self.tokenizers[name].encode(contents), strict=True):
                tokens[s][number] = found
        return tokens

    def _plan(self, spans: list[Span], tokens: Mapping[int, Tensor], closed: bool) -> _Plan:
        plan = _Plan(spans, [_MARKER], [-1 - BOS])

        def mark(marker: int) -> None:
            plan.pieces.append(_MARKER)
            plan.fills.append(-1 - marker)

        after_text = False
        for number, span in enumerate(spans):
            if span.source == "null":
                mark(NULL[span.modality])
                after_text = False
                continue
            opened = span.role == "target" and not closed
            if span.modality == "text":
                if after_text:
                    mark(SEP)
                if opened:
                    return plan
                if len(tokens[number]):
                    order = span.order or "causal"
                    plan.pieces.append(Piece(len(tokens[number]), "text", span.role, number, order, span.visible))
                    plan.fills.append(number)
                after_text = True
                continue
            mark(BOI)
            if opened:
                return plan
            if span.place == "memory":  # its end marker keeps its place: from there on it is seen
                plan.pieces.append(_MARKER)
                plan.fills.append(number)
            else:
                plan.pieces.append(self.piece(span, len(tokens[number]), number))
                plan.fills.append(number)
                mark(EOI)
            after_text = False
        if closed:
            mark(EOS)
        return plan

    def piece(self, span: Span, num_tokens: int, number: int = 0) -> Piece:
        """Return the piece that a span of pictures (or anything but text) takes."""
        length = self.widths[span.connector](num_tokens) if span.connector else num_tokens
        head = self._heads.get(span.tokenizer)
        order = span.order or (head.span_order(num_tokens) if head is not None else "full")
        timed = span.tokenizer in self._timed
        return Piece(length, span.modality, span.role, number, order, span.visible, timed)

    # -- scoring --------------------------------------------------------------------------------------------

    def _words(
        self, s: int, plan: _Plan, begin: Sequence[int], base: int, ids: list[int]
    ) -> list[tuple[int, list[int], int]]:
        """Return the runs of text ids that are scored: target text, begin of a target image, end of sample."""
        runs: list[tuple[int, list[int], int]] = []
        for k, (fill, piece) in enumerate(zip(plan.fills, plan.pieces, strict=True)):
            if fill >= 0:
                scored = piece.role == "target" and piece.modality == "text"
            elif fill == -1 - BOI:
                scored = plan.pieces[k + 1].role == "target"
            else:
                scored = fill == -1 - EOS and plan.spans[-1].role == "target"
            if not scored:
                continue
            place = base + begin[k]
            found = ids[place : place + piece.length]
            if runs and runs[-1][2] + len(runs[-1][1]) == place:
                runs[-1][1].extend(found)
            else:
                runs.append((s, found, place))
        return runs

    def _score_words(self, words: list[tuple[int, list[int], int]], random: SampleRandom) -> Scored:
        assert self.text_head is not None
        head = self.heads[self.text_head]
        longest = max(len(run) for _, run, _ in words)
        tokens = torch.tensor([run + [PAD] * (longest - len(run)) for _, run, _ in words])
        real = torch.tensor([[True] * len(run) + [False] * (longest - len(run)) for _, run, _ in words])
        first = torch.tensor([place for *_, place in words])
        places = first[:, None] + torch.arange(longest) - head.shift
        prepared = head.prepare(tokens, random=random.select([s for s, *_ in words]))
        prepared.score_mask = prepared.score_mask & real
        return Scored(self.text_head, prepared, torch.where(real, places, 0), None)

    def _place(self, assembly: Assembly, placed: list[_Placed], random: SampleRandom, fixed_time: float | None) -> None:
        """Prepare the targets and group all spans for embedding."""
        kinds: dict[tuple[str, str | None, str | None, int, str], list[_Placed]] = {}
        for entry in placed:
            span = entry.span
            key = (span.tokenizer, span.connector, span.head, len(entry.tokens), span.place)
            kinds.setdefault(key, []).append(entry)
        groups: dict[tuple[str, str | None, str | None, int, str], list[Group]] = {}
        # in one order for every batch: two heads draw from the same sample's stream in turn
        for (tokenizer, connector, head_name, n, where), entries in sorted(kinds.items(), key=lambda k: str(k[0])):
            tokens = torch.stack([entry.tokens for entry in entries])
            if connector is None:
                tokens = self.vocabulary.ids(tokenizer, tokens)
            width = 1 if where == "memory" else self.widths[connector](n) if connector else n
            first = torch.tensor([entry.place for entry in entries])
            places = first[:, None] + torch.arange(width)
            texts = torch.tensor([entry.sample for entry in entries]) if connector in self.text_aware else None
            if head_name is not None:
                head = self.heads[head_name]
                timed = torch.tensor([entry.timed for entry in entries]) if head.timed else None
                streams = random.select([entry.sample for entry in entries])
                time = None
                if head.timed and fixed_time is not None:
                    time = torch.full((len(entries),), fixed_time, device=tokens.device)
                prepared = head.prepare(tokens, random=streams, time=time)
                if timed is not None and prepared.time is not None:
                    assembly.times[timed] = prepared.time.cpu().to(assembly.times.dtype)
                assembly.scored.append(Scored(head_name, prepared, places - head.shift, timed))
                tokens = prepared.inputs
            own = head_name if head_name is not None and self._reads_alone(head_name, n) else None
            part = Group(tokenizer, connector, tokens, places, where, texts, own)  # type: ignore[arg-type]
            groups.setdefault((tokenizer, connector, own, n, where), []).append(part)
        for parts in groups.values():
            tokens, places = (torch.cat([getattr(part, name) for part in parts]) for name in ("tokens", "places"))
            rows = [part.texts for part in parts if part.texts is not None]
            joined = replace(parts[0], tokens=tokens, places=places, texts=torch.cat(rows) if rows else None)
            assembly.groups.append(joined)

    def _reads_alone(self, name: str, n: int) -> bool:
        """Whether a head reads a span in another way than context is read."""
        head = self.heads[name]
        return head.embeds or head.places(n) is not None

    def _texts(self, spans: Sequence[list[Span]], tokens: Sequence[Mapping[int, Tensor]]) -> Tensor:
        """Return the ids of each sample's context texts `(samples, k)`; targets are never among them."""
        found = []
        for own, known in zip(spans, tokens, strict=True):
            parts = [
                self.vocabulary.ids(span.tokenizer, known[number])
                for number, span in enumerate(own)
                if span.modality == "text" and span.role == "context" and span.source == "item"
            ]
            found.append(torch.cat(parts) if parts else torch.empty(0, dtype=torch.long))
        return pad_sequence(found, batch_first=True, padding_value=-1)


def drop_conditions(spans: list[Span], probabilities: Mapping[str, float], draw: float) -> list[Span]:
    """Return the spans with context of some modalities replaced by its learned null token.

    Only samples whose target is not text are touched: guidance contrasts drawing with and without the
    condition, while answers always need theirs. One draw decides all modalities, in disjoint ranges.

    Args:
        spans: Of one sample.
        probabilities: Modality -> probability that its context is dropped.
        draw: Uniform in [0, 1).
    """
    if not any(span.role == "target" and span.modality != "text" for span in spans):
        return spans
    threshold = 0.0
    for modality, probability in probabilities.items():
        if threshold <= draw < threshold + probability:
            return without(spans, modality)
        threshold += probability
    return spans


def without(spans: list[Span], modality: str) -> list[Span]:
    """Return the spans with the context of one modality replaced by its null token."""
    return [replace(s, source="null") if s.role == "context" and s.modality == modality else s for s in spans]
