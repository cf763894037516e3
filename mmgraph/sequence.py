"""Segments, spans, layout, memory, packing and masks: what the model reads, told once.

Everything downstream (attention, expert routing, scored positions, mode switching) is derived from the
spans laid out here; no module is told any of it twice.

Shape letters, used in every comment and docstring of the project:
B batch, L sequence, S keys (cache and sequence), D model width, H heads, K head width, V vocabulary,
N nodes or pictures, n tokens of one span, d width of one token, E edges, T frames, C channels, P patch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from mmgraph.errors import UsageError

Role = Literal["context", "target"]
PADDING = -1
MODALITIES = ("text", "image", "graph", "audio", "video")
"""Modality ids are positions in this tuple; markers (begin, end, separators) are text."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One piece of a sample: some text, one picture, one graph node.

    Args:
        modality: One of `MODALITIES`.
        content: A `str` for text, a uint8 tensor `(C, height, width)` for a picture, a `mmgraph.graphs.GraphNode` for
            a graph, or None when the model is to produce it.
        target: Whether the model is trained to produce this segment.
    """

    modality: str
    content: Any
    target: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """An ordered list of segments and what is asked of them.

    Args:
        segments: In reading order.
        task: `draw`, `name`, `ask`, or any name a data set defines.
        key: Number that, with the run's seed, decides every random draw made for this sample.
        meta: What evaluation needs and the model does not read (question kind, choices, concept).
    """

    segments: tuple[Segment, ...]
    task: str
    key: int = 0
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Span:
    """What the model reads of a segment; a processor may make several of one segment.

    Args:
        item: Index of the segment it comes from.
        modality: Modality of its positions, which routes experts.
        tokenizer: Name of the tokenizer in the model; of `queries`, the name under which they are learned.
        head: Name of the head that scores it; None for context.
        connector: Name of the connector; None for discrete tokens, which the vocabulary embeds.
        role: `target` spans are scored, `context` spans are only read.
        place: `sequence`, `memory` for what is cross-attended, or `condition` for a graph that joins the noise level.
        visible: `all`, or `own` when only its own positions may attend to it (a noised copy).
        source: `item`, `queries` (content-free learned positions), `null` (the condition dropped) or `tool` (another
            model draws it, from a text that stands before: it takes no position).
        target: Segment whose content is to be produced, where it is not `item`.
        order: Attention order on the span; None takes the head's, and for context `causal` for text and queries
            and `full` for the rest.
        beside: Name of a second tokenizer, whose tokens of the same content the connector fuses with these.
        num_queries: How many positions a span of `queries` takes.
    """

    item: int
    modality: str
    tokenizer: str
    head: str | None = None
    connector: str | None = None
    role: Role = "context"
    place: Literal["sequence", "memory", "condition"] = "sequence"
    visible: Literal["all", "own"] = "all"
    source: Literal["item", "queries", "null", "tool"] = "item"
    target: int | None = None
    order: Literal["causal", "full"] | None = None
    beside: str | None = None
    num_queries: int = 0

    @property
    def words(self) -> bool:
        """Whether it is text as codes, read in the flow of the sequence; text as vectors is treated like a picture."""
        return self.modality == "text" and self.connector is None


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of positions with one meaning: a span's tokens, or one marker.

    `order` is `causal` (each position after the last), `full` (one constant), or a tuple that gives the
    order of each position relative to the start of the piece (next-scale, reversed, random).
    """

    length: int
    modality: str = "text"
    role: Role = "context"
    span: int = PADDING
    order: Literal["causal", "full"] | tuple[int, ...] = "causal"
    visible: Literal["all", "own"] = "all"
    timed: bool = False


@dataclass(frozen=True)
class Layout:
    """What each position is; every field is `(B, L)` and -1 marks padding.

    Position i may attend to j if both are of the same sample, `order[j] <= order[i]`, and j's span is
    visible to i. `span` numbers the pieces of a row, markers included. `position` counts the text positions
    of a sample, so that text is not moved by the size of a picture; elsewhere it is the place within the
    span. `timed` gives each position the row of the conditioning table (one row per timed span), or -1.
    """

    modality: Tensor
    role: Tensor
    span: Tensor
    sample: Tensor
    position: Tensor
    order: Tensor
    own: Tensor
    timed: Tensor
    pair_type: Tensor | None = None  # (B, L, L)
    causal: bool = False  # every row is one sample in plain counting order, padded at the end
    shared: bool = False  # all rows are equal
    timed_slice: tuple[int, int] | None = None  # the one timed span of each row, where all rows agree

    FIELDS = ("modality", "role", "span", "sample", "position", "order", "own", "timed")

    @classmethod
    def of(cls, fields: Mapping[str, Tensor], *, timed_slice: tuple[int, int] | None = None) -> Layout:
        """Return the layout of these `FIELDS`, each `(B, L)`."""
        return replace(cls(*(fields[name] for name in cls.FIELDS)), timed_slice=timed_slice)  # type: ignore[arg-type]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and positions (B, L)."""
        return self.sample.shape[0], self.sample.shape[1]

    @property
    def valid(self) -> Tensor:
        """Positions that are not padding, `(B, L)` bool."""
        return self.sample >= 0

    def to(self, device: torch.device | str) -> Layout:
        """Return the layout on `device`."""
        moved = {name: getattr(self, name).to(device) for name in self.FIELDS}
        pair = None if self.pair_type is None else self.pair_type.to(device)
        return replace(self, **moved, pair_type=pair)

    def mask(self, keys: Layout | None = None) -> Tensor:
        """Return who may attend to whom, `(B or 1, 1, L, S)` bool, True = visible.

        Args:
            keys: The layout attended to; this one if None. A cache passes its own.
        """
        query, key = self, keys if keys is not None else self
        if keys is None and self.shared:
            query = key = self.rows(slice(0, 1))
        same = query.sample[:, :, None] == key.sample[:, None, :]  # (B, L, S)
        earlier = key.order[:, None, :] <= query.order[:, :, None]
        seen = same & earlier
        if bool(key.own.any()):
            seen &= ~key.own.bool()[:, None, :] | (query.span[:, :, None] == key.span[:, None, :])
        return seen[:, None]  # (B, 1, L, S)

    def rows(self, index: slice | Tensor) -> Layout:
        """Return some of the rows."""
        picked = {name: getattr(self, name)[index] for name in self.FIELDS}
        return replace(self, **picked, pair_type=None if self.pair_type is None else self.pair_type[index])

    def prefix_static(self, span: int) -> bool:
        """Whether nothing before `span` sees it or its time, so its prefix may be computed once.

        True if, in every row, each earlier position has a smaller order than the span's own.
        """
        for row in range(self.shape[0]):
            places = (self.span[row] == span).nonzero().flatten()
            if len(places) == 0:
                continue
            start = int(places[0])
            before = self.valid[row, :start] & (self.sample[row, :start] == self.sample[row, start])
            if bool((self.order[row, :start][before] >= self.order[row, places].min()).any()):
                return False
            if (
                bool((self.timed[row, :start][before] == self.timed[row, start]).any())
                and int(self.timed[row, start]) >= 0
            ):
                return False
        return True


Memory = dict[str, tuple[Tensor, "Tensor | None"]]
"""What is cross-attended, by tokenizer: tokens `(B, M, D)`, and who sees which `(B, L, M)` bool, None = all see all."""


@dataclass
class MultimodalSequence:
    """What the blocks read: embeddings, their layout, what is cross-attended, and the conditioning.

    Args:
        embeddings: `(B, L, D)`.
        layout: Meaning of each position.
        memory: What blocks may cross-attend to.
        condition: Conditioning vectors, one per timed span, `(spans, D)`; rows are `layout.timed`.
        keys: Layout of what is attended to where that is more than the sequence itself (a cache).
        kept: Number of blocks -> normalised hidden states `(B, L, D)` after them, where a head reads those.
    """

    embeddings: Tensor
    layout: Layout
    memory: Memory = field(default_factory=dict)
    condition: Tensor | None = None
    keys: Layout | None = None
    kept: dict[int, Tensor] = field(default_factory=dict)

    @functools.cached_property
    def mask(self) -> Tensor | None:
        """Attention mask `(B or 1, 1, L, S)`, or None where plain causal attention says it all."""
        if self.keys is not None:
            return self.layout.mask(self.keys)
        return None if self.layout.causal else self.layout.mask()

    @functools.cached_property
    def timed_positions(self) -> Tensor:
        """Places of the timed positions in the flattened `(B * L)` sequence."""
        return (self.layout.timed.flatten() >= 0).nonzero().flatten()

    @functools.cached_property
    def timed_runs(self) -> tuple[Tensor, int]:
        """Row of `condition` of each run of timed positions, and the length of a run; 1 where they differ."""
        rows = self.layout.timed.flatten()[self.timed_positions]
        length = int((rows == rows[:1]).sum())
        if length and len(rows) % length == 0:
            runs = rows.view(-1, length)
            if bool((runs == runs[:, :1]).all()):
                return runs[:, 0], length
        return rows, 1

    def modulate(self, hidden: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        """Return `hidden * (1 + scale) + shift` on timed positions, `hidden` elsewhere.

        Args:
            hidden: `(B, L, D)`.
            shift: `(spans, D)`, evaluated once per span and never per token.
            scale: `(spans, D)`.
        """
        return self._on_timed(hidden, lambda part, at: torch.addcmul(at(shift), part, 1 + at(scale)))

    def gate(self, hidden: Tensor, gate: Tensor) -> Tensor:
        """Return `hidden * gate` on timed positions, `hidden` elsewhere."""
        return self._on_timed(hidden, lambda part, at: part * at(gate))

    def _on_timed(self, hidden: Tensor, change: Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor]) -> Tensor:
        if self.layout.timed_slice is not None:  # no scatter, no per-token copies of the conditioning
            start, stop = self.layout.timed_slice
            # split and not slices: its gradient is one copy, theirs are three padded tensors to add up
            before, timed, after = hidden.split((start, stop - start, hidden.shape[1] - stop), dim=1)
            return torch.cat((before, change(timed, lambda table: table[:, None]), after), dim=1)
        rows, length = self.timed_runs
        flat = hidden.reshape(-1, hidden.shape[-1])
        # index_select, as the gradient of plain indexing sorts its index first
        timed = flat.index_select(0, self.timed_positions).view(-1, length, flat.shape[-1])  # (runs, n, D)
        changed = change(timed, lambda table: table.index_select(0, rows)[:, None])
        return flat.index_copy(0, self.timed_positions, changed.flatten(0, 1).to(flat.dtype)).view_as(hidden)


@dataclass(frozen=True)
class _Row:
    """Per-position fields of one sample's pieces; cached by its pieces."""

    fields: Tensor  # (fields, positions), in the order of Layout.FIELDS
    starts: tuple[int, ...]
    length: int
    causal: bool
    timed: tuple[tuple[int, int], ...]  # (start, stop) of each timed piece


@functools.lru_cache(maxsize=4096)
def _lay_out(pieces: tuple[Piece, ...]) -> _Row:
    columns: dict[str, list[int]] = {name: [] for name in Layout.FIELDS}
    starts: list[int] = []
    timed_pieces: list[tuple[int, int]] = []
    clock, words, causal = 0, 0, True
    for number, piece in enumerate(pieces):
        start = len(columns["order"])
        starts.append(start)
        n = piece.length
        columns["modality"] += [MODALITIES.index(piece.modality)] * n
        columns["role"] += [int(piece.role == "target")] * n
        columns["span"] += [number] * n
        columns["sample"] += [0] * n
        first = words if piece.modality == "text" else 0
        columns["position"] += range(first, first + n)
        words += n if piece.modality == "text" else 0
        columns["own"] += [int(piece.visible == "own")] * n
        columns["timed"] += [len(timed_pieces) if piece.timed else PADDING] * n
        if piece.timed:
            timed_pieces.append((start, start + n))
        if piece.order == "causal":
            relative: Sequence[int] = range(n)
        elif piece.order == "full":
            relative = [0] * n
        else:
            relative = piece.order
        columns["order"] += [clock + step for step in relative]
        causal = causal and list(relative) == list(range(n)) and piece.visible == "all"
        clock += max(relative, default=-1) + 1
    fields = torch.tensor([columns[name] for name in Layout.FIELDS], dtype=torch.long)
    return _Row(fields, tuple(starts), len(columns["order"]), causal, tuple(timed_pieces))


def lay_out(rows: Sequence[Sequence[tuple[Piece, ...]]]) -> tuple[Layout, list[list[tuple[int, ...]]]]:
    """Lay samples out in rows, padded at the end to the longest.

    Args:
        rows: For each row its samples (one, or several when packed), each a tuple of pieces.

    Returns:
        The layout, and for each row and sample the start position of each piece.
    """
    plans = [[_lay_out(pieces) for pieces in row] for row in rows]
    lengths = [sum(plan.length for plan in row) for row in plans]
    width = max(lengths, default=0)
    shared = all(row == rows[0] for row in rows[1:])
    starts: list[list[tuple[int, ...]]] = []
    # all fields in one tensor: a row is one copy, and not one for each field
    table = torch.zeros(len(Layout.FIELDS), len(rows), width, dtype=torch.long)
    field_of = dict(zip(Layout.FIELDS, table, strict=True))
    for name in ("span", "sample", "timed"):
        field_of[name].fill_(PADDING)
    timed_rows = 0
    for r, row in enumerate(plans):
        offset = pieces_before = 0
        begin: list[tuple[int, ...]] = []
        for s, plan in enumerate(row):
            stop = offset + plan.length
            table[:, r, offset:stop] = plan.fields
            if s:
                field_of["sample"][r, offset:stop] = s
                field_of["span"][r, offset:stop] += pieces_before
            for first, last in plan.timed if timed_rows else ():
                field_of["timed"][r, offset + first : offset + last] += timed_rows
            begin.append(tuple(offset + start for start in plan.starts))
            pieces_before += len(plan.starts)
            timed_rows += len(plan.timed)
            offset = stop
        starts.append(begin)
    single = all(len(row) == 1 for row in plans)
    timed_slice = None
    if single and plans and all(len(row[0].timed) == 1 for row in plans):
        slices = {row[0].timed[0] for row in plans}
        timed_slice = slices.pop() if len(slices) == 1 else None
    layout = Layout(
        **field_of,
        causal=single and all(row[0].causal for row in plans),
        shared=shared,
        timed_slice=timed_slice,
    )
    return layout, starts


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Group samples into rows of at most `capacity` positions (first fit, longest first).

    Raises:
        UsageError: If one sample alone is longer than `capacity`.
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        need = lengths[index]
        if need > capacity:
            raise UsageError(f"sample {index} has {need} positions but a row holds {capacity}; raise the row length.")
        for row, free in enumerate(room):
            if need <= free:
                rows[row].append(index)
                room[row] -= need
                break
        else:
            rows.append([index])
            room.append(capacity - need)
    return rows
