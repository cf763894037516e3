"""What the model sees of one sample, read back from the assembly that training would use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmgraph.models.assembly import Assembly
from mmgraph.models.unified import UnifiedModel
from mmgraph.sequence import MODALITIES, Sample, Span
from mmgraph.vocabulary import MARKERS


@dataclass(frozen=True)
class PieceView:
    """A run of positions with one meaning: a marker, some text, a picture.

    Args:
        start: First position.
        stop: Position after the last.
        words: What stands at each position, where that can be spelled; else empty.
        label: A short name for all of it.
        modality: Of its positions; markers are text.
        role: `context` or `target`.
        marker: Whether it is a marker.
        order: `causal`, `full` or `steps`.
        time: Noise level, where there is one.
        static_prefix: Whether what stands before a piece that is denoised may be computed once.
    """

    start: int
    stop: int
    words: tuple[str, ...]
    label: str
    modality: str
    role: str
    marker: bool
    order: str
    time: float | None = None
    static_prefix: bool | None = None


@dataclass(frozen=True)
class ScoredView:
    """What one head scores of a sample.

    Args:
        head: Name of the head in the model.
        kind: Its class.
        states: Positions whose hidden states predict.
        tokens: Positions of the tokens that are predicted, one per state.
        against: What they are compared with.
        words: The same, one per state, where it can be spelled; else empty.
        terms: How many.
    """

    head: str
    kind: str
    states: tuple[int, ...]
    tokens: tuple[int, ...]
    against: str
    words: tuple[str, ...]
    terms: int


@dataclass(frozen=True)
class SampleView:
    """One sample, laid out alone."""

    sample: Sample
    spans: tuple[Span, ...]
    assembly: Assembly
    pieces: tuple[PieceView, ...]
    scored: tuple[ScoredView, ...]
    mask: Tensor  # (L, L) bool

    @property
    def length(self) -> int:
        """Positions L."""
        return self.mask.shape[0]


def look(model: UnifiedModel, sample: Sample) -> SampleView:
    """Return what a model sees of a sample when it is trained, with every condition given."""
    assembly = model.assemble([sample])
    mask = assembly.layout.mask()[0, 0]
    pieces = tuple(_pieces(model, assembly))
    return SampleView(sample, tuple(model.spans(sample, True)), assembly, pieces, tuple(_scored(model, assembly)), mask)


def spell(model: UnifiedModel, token: int) -> str:
    """Return how one id of the vocabulary reads: a marker's name, a word, or a numbered code."""
    vocabulary = model.vocabulary
    tokenizers: Any = model.tokenizers
    if token < len(MARKERS):
        return MARKERS[token]
    name = next(n for n, size in vocabulary.sizes.items() if 0 <= token - vocabulary.offsets[n] < size)
    code = vocabulary.codes(name, torch.tensor([token]))
    tokenizer = tokenizers[name]
    if tokenizer.modality != "text" or not tokenizer.decodes:
        return f"{name} {int(code)}"
    word = str(tokenizer.decode([code])[0]) or "?"
    return word.replace(" ", "␣").replace("\n", "↵")


def ranges(positions: Iterable[int]) -> str:
    """Return positions as ranges, such as `0-3, 7`."""
    found: list[list[int]] = []
    for position in sorted(positions):
        if found and position == found[-1][1] + 1:
            found[-1][1] = position
        else:
            found.append([position, position])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in found)


def _pieces(model: UnifiedModel, assembly: Assembly) -> Iterable[PieceView]:
    layout, ids = assembly.layout, assembly.ids[0].tolist()
    owner = {int(row[0]): group for group in assembly.groups for row in group.places}
    numbers = layout.span[0].tolist()
    start = 0
    while start < len(numbers):
        stop = start + 1
        while stop < len(numbers) and numbers[stop] == numbers[start]:
            stop += 1
        modality = MODALITIES[int(layout.modality[0, start])]
        role = ("context", "target")[int(layout.role[0, start])]
        group = owner.get(start)
        marker = group is None and stop - start == 1 and ids[start] < len(MARKERS)
        words = tuple(spell(model, token) for token in ids[start:stop]) if group is None else ()
        label = words[0] if marker else modality if group is None else _describe(model, group.tokenizer, stop - start)
        order = _order(layout.order[0, start:stop].tolist())
        timed = int(layout.timed[0, start])
        time = float(assembly.times[timed]) if timed >= 0 else None
        static = layout.prefix_static(numbers[start]) if timed >= 0 and role == "target" else None
        yield PieceView(start, stop, words, label, modality, role, marker, order, time, static)
        start = stop


def _describe(model: UnifiedModel, name: str, length: int) -> str:
    """Return a name for a picture's positions, with its grid where each position is one token of it."""
    if name in model.queries:
        return f"{length} queries"
    tokenizer: Any = model.tokenizers[name]
    try:
        rows, columns = tokenizer.grid
    except ValueError:
        return name
    return f"{name} {rows}x{columns}" if rows * columns == length else name


def _order(order: Sequence[int]) -> str:
    if len(order) > 1 and len(set(order)) == 1:
        return "full"
    return "causal" if list(order) == list(range(order[0], order[0] + len(order))) else "steps"


def _scored(model: UnifiedModel, assembly: Assembly) -> Iterable[ScoredView]:
    found: dict[str, list[tuple[int, str]]] = {}
    widths: dict[str, int] = {}
    for scored in assembly.scored:
        prepared = scored.prepared
        chosen = prepared.score_mask.cpu()
        targets = prepared.targets.cpu()[chosen]
        if scored.apart:  # what it scores stands nowhere: shown is what it reads
            heard = tuple(sorted(set(scored.places.flatten().tolist()) - {-1}))
            against = f"{len(targets)} vectors of width {targets.shape[-1]}, apart"
            kind = type(model.heads[scored.head]).__name__
            yield ScoredView(scored.head, kind, heard, heard, against, (), len(targets))
            continue
        states = scored.places[chosen].tolist()
        discrete = model.heads[scored.head].discrete
        widths[scored.head] = 0 if discrete else targets.shape[-1]
        spelled = [spell(model, token) for token in targets.tolist()] if discrete else [""] * len(states)
        found.setdefault(scored.head, []).extend(zip(states, spelled, strict=True))
    for name, entries in found.items():
        head: Any = model.heads[name]
        places = tuple(state for state, _ in sorted(entries))
        words = tuple(word for _, word in sorted(entries)) if not widths[name] else ()
        against = "|".join(words) or f"{len(places)} vectors of width {widths[name]}"
        tokens = tuple(place + head.shift for place in places)
        yield ScoredView(name, type(head).__name__, places, tokens, against, words, len(places))
