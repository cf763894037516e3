"""From placed spans to what is embedded in one call, and to what each head scores."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from mmgraph.heads import Head, Prepared
from mmgraph.models.planning import Plan
from mmgraph.randomness import SampleRandom
from mmgraph.sequence import Span
from mmgraph.vocabulary import PAD, Vocabulary


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
    place: Literal["sequence", "memory", "condition"] = "sequence"
    texts: Tensor | None = None  # (N,) rows of Assembly.texts, for text-aware connectors
    head: str | None = None  # whose prepared inputs these are; None for what is read as context is
    offset: int = 0  # place of the first token within its span
    beside: Tensor | None = None  # (N, k, e) tokens of a second tokenizer, for connectors that fuse
    queries: bool = False  # `tokens` are numbers: of learned positions, or of rows of the graph's table

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
    apart: bool = False  # whether places (N, m) are those that the head reads, -1 for padding

    def states(self, flat: Tensor) -> Tensor:
        """Return the hidden states that the head reads, of all `(B * L, D)`."""
        return told_states(flat, self.places) if self.apart else flat[self.places.to(flat.device)]


@dataclass
class Placed:
    """A span that is not text, and where it went."""

    sample: int
    span: Span
    tokens: Tensor
    place: int  # of its first token, in the flattened sequence
    timed: int  # its row of the conditioning table, or -1
    beside: Tensor | None = None
    told: Sequence[int] = ()  # places whose hidden states a head apart reads


Words = tuple[int, list[int], int]
"""A run of text ids that is scored: its sample, the ids, the place of the first."""


def scored_words(sample: int, plan: Plan, begin: Sequence[int], base: int, ids: Sequence[int]) -> list[Words]:
    """Return the runs of text ids that are scored; what follows without a gap is one run."""
    runs: list[Words] = []
    for k in plan.scored:
        place = base + begin[k]
        found = list(ids[place : place + plan.pieces[k].length])
        if runs and runs[-1][2] + len(runs[-1][1]) == place:
            runs[-1][1].extend(found)
        else:
            runs.append((sample, found, place))
    return runs


def score_words(name: str, head: Head, words: Sequence[Words], random: SampleRandom) -> Scored:
    """Return the runs of text ids as one thing that the text's head scores."""
    longest = max(len(run) for _, run, _ in words)
    tokens = torch.tensor([run + [PAD] * (longest - len(run)) for _, run, _ in words])
    real = torch.tensor([[True] * len(run) + [False] * (longest - len(run)) for _, run, _ in words])
    first = torch.tensor([place for *_, place in words])
    places = first[:, None] + torch.arange(longest) - head.shift
    prepared = head.prepare(tokens, random=random.select([s for s, *_ in words]))
    prepared.score_mask = prepared.score_mask & real
    return Scored(name, prepared, torch.where(real, places, 0), None)


class Grouper:
    """Prepares the targets and groups all spans for embedding.

    Args:
        heads: By the name that spans use.
        widths: How many positions a span of n tokens takes, by connector.
        vocabulary: Ids of everything discrete.
        text_aware: Names of the connectors that read the sample's context texts.
    """

    def __init__(
        self,
        heads: Mapping[str, Head],
        *,
        widths: Mapping[str, Any],
        vocabulary: Vocabulary,
        text_aware: Collection[str] = (),
    ) -> None:
        self.heads = heads
        self.widths = widths
        self.vocabulary = vocabulary
        self.text_aware = frozenset(text_aware)

    def group(
        self, placed: Sequence[Placed], times: Tensor, random: SampleRandom, fixed_time: float | None
    ) -> tuple[list[Group], list[Scored]]:
        """Return what is embedded together and what is scored.

        Args:
            placed: Every span that is not text.
            times: One per timed span; those of targets are filled in.
            random: One stream per sample.
            fixed_time: One noise level for all timed targets, for paired evaluation.
        """
        kinds: dict[tuple[Any, ...], list[Placed]] = {}
        for entry in placed:
            span = entry.span
            key = (span.tokenizer, span.connector, span.head, len(entry.tokens), span.place, span.beside, span.source)
            kinds.setdefault(key, []).append(entry)
        scored: list[Scored] = []
        alike: dict[tuple[Any, ...], list[Group]] = {}
        # in one order for every batch: two heads draw from the same sample's stream in turn
        for key, entries in sorted(kinds.items(), key=lambda kind: str(kind[0])):
            if entries[0].told:
                scored.append(self._apart(entries, random, fixed_time))
                continue
            part, found = self._group(entries, times, random, fixed_time)
            scored += found
            alike.setdefault((*key[:2], part.head, *key[3:]), []).append(part)
        return [_joined(parts) for parts in alike.values()], scored

    def _group(
        self, entries: Sequence[Placed], times: Tensor, random: SampleRandom, fixed_time: float | None
    ) -> tuple[Group, list[Scored]]:
        span = entries[0].span
        tokens = torch.stack([entry.tokens for entry in entries])
        n, queries = tokens.shape[1], span.source == "queries" or span.modality == "graph"
        if span.connector is None and not queries:
            tokens = self.vocabulary.ids(span.tokenizer, tokens)
        width = 1 if span.place == "memory" else self.widths[span.connector](n) if span.connector else n
        places = torch.tensor([entry.place for entry in entries])[:, None] + torch.arange(width)
        scored: list[Scored] = []
        if span.head is not None:
            head = self.heads[span.head]
            timed = torch.tensor([entry.timed for entry in entries]) if head.timed else None
            streams = random.select([entry.sample for entry in entries])
            time = None
            if head.timed and fixed_time is not None:
                time = torch.full((len(entries),), fixed_time, device=tokens.device)
            prepared = head.prepare(tokens, random=streams, time=time)
            if timed is not None and prepared.time is not None:
                times[timed] = prepared.time.cpu().to(times.dtype)
            scored.append(Scored(span.head, prepared, places - head.shift, timed))
            tokens = prepared.inputs
        group = Group(span.tokenizer, span.connector, tokens, places, span.place, queries=queries)
        if span.connector in self.text_aware:
            group.texts = torch.tensor([entry.sample for entry in entries])
        if span.head is not None and self._reads_alone(span.head, n):
            group.head = span.head
        beside = [entry.beside for entry in entries if entry.beside is not None]
        group.beside = torch.stack(beside) if beside else None
        return group, scored

    def _apart(self, entries: Sequence[Placed], random: SampleRandom, fixed_time: float | None) -> Scored:
        """Return what a head apart scores: nothing of it stands in the sequence."""
        name = entries[0].span.head
        assert name is not None
        tokens = torch.stack([entry.tokens for entry in entries])
        time = None
        if self.heads[name].timed and fixed_time is not None:
            time = torch.full((len(entries),), fixed_time, device=tokens.device)
        streams = random.select([entry.sample for entry in entries])
        prepared = self.heads[name].prepare(tokens, random=streams, time=time)
        beside = [entry.beside for entry in entries if entry.beside is not None]
        prepared.beside = torch.stack(beside) if beside else None
        return Scored(name, prepared, padded([entry.told for entry in entries]), None, apart=True)

    def _reads_alone(self, name: str, n: int) -> bool:
        """Whether a head reads a span in another way than context is read."""
        head = self.heads[name]
        return head.embeds or head.places(n) is not None


def _joined(parts: Sequence[Group]) -> Group:
    def joined(found: Sequence[Tensor | None]) -> Tensor | None:
        known = [tensor for tensor in found if tensor is not None]
        return torch.cat(known) if known else None

    return replace(
        parts[0],
        tokens=torch.cat([part.tokens for part in parts]),
        places=torch.cat([part.places for part in parts]),
        texts=joined([part.texts for part in parts]),
        beside=joined([part.beside for part in parts]),
    )


def padded(places: Sequence[Sequence[int]]) -> Tensor:
    """Return rows of places `(N, m)`, -1 behind the end of shorter ones."""
    longest = max(len(row) for row in places)
    return torch.tensor([[*row, *[-1] * (longest - len(row))] for row in places])


def told_states(flat: Tensor, places: Tensor) -> Tensor:
    """Return `(N, m, D + 1)` hidden states of `(B * L, D)`; the last number is 1, or 0 for padding (place -1)."""
    there = (places >= 0).to(flat.device)[..., None]
    found = flat[places.clamp_min(0).to(flat.device)]
    return torch.cat((found * there, there.to(found)), dim=-1)
