"""How generation reads: a new word a row, a picture again and again, or its next block; with a cache or without.

The readers without a cache read everything at each step. They are what the others are tested against and
timed against.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from mmgraph.cache import Cache
from mmgraph.heads import Head
from mmgraph.models.assembly import Assembly
from mmgraph.models.grouping import Group, told_states
from mmgraph.models.unified import UnifiedModel
from mmgraph.sequence import Layout, Piece, Span, lay_out


class CachedTextReader:
    """Reads one new token per row over a cache."""

    def __init__(self, model: UnifiedModel, prefix: Assembly, room: int) -> None:
        self.model = model
        self.prefix = prefix
        rows, width = prefix.layout.shape
        self.cache = Cache(model.depth, rows, width + room, model.device)
        word = Layout.of({name: torch.zeros(rows, 1, dtype=torch.long, device=model.device) for name in Layout.FIELDS})
        self.word = replace(word, role=word.role + 1, timed=word.timed - 1)

    def prefill(self) -> Tensor:
        """Read the prompts; return the hidden state `(N, D)` of each row's last position."""
        hidden = prefill(self.model, self.prefix, self.cache)
        return last_states(hidden, self.prefix.layout)

    def read(self, ids: Tensor) -> Tensor:
        """Read one more id a row `(N, 1)`; return the hidden states `(N, D)`."""
        assembly = Assembly(self.word, ids, torch.ones(0))
        return read(self.model, assembly, self.cache, commit=True)[0][:, -1]


class PlainTextReader:
    """Reads everything again for each token."""

    def __init__(self, model: UnifiedModel, prefix: Assembly) -> None:
        self.model = model
        self.prefix = prefix
        self.ids: list[Tensor] = []

    def prefill(self) -> Tensor:
        """Read the prompts; return the hidden state `(N, D)` of each row's last position."""
        return self._hidden()

    def read(self, ids: Tensor) -> Tensor:
        """Read one more id a row `(N, 1)`; return the hidden states `(N, D)`."""
        self.ids.append(ids)
        return self._hidden()

    def _hidden(self) -> Tensor:
        layout, new = self.prefix.layout, len(self.ids)
        rows, width = layout.shape
        ends = layout.valid.sum(1)
        fields = {field: F.pad(getattr(layout, field), (0, new), value=-1) for field in Layout.FIELDS}
        tokens = F.pad(self.prefix.ids, (0, new))
        words = (layout.valid & (layout.modality == 0)).sum(1)
        for row in range(rows):
            stop = int(ends[row])
            own = slice(stop, stop + new)
            steps = torch.arange(new)
            for field, first in (
                ("order", int(layout.order[row, :stop].max()) + 1),
                ("position", int(words[row])),
            ):
                fields[field][row, own] = first + steps
            for field, value in (("modality", 0), ("role", 1), ("sample", 0), ("own", 0), ("timed", -1)):
                fields[field][row, own] = value
            fields["span"][row, own] = int(layout.span[row].max()) + 1
            fields["modality"][row, stop + new :] = 0
            if new:
                tokens[row, own] = torch.cat(self.ids, dim=1)[row].cpu()
        places = [group.moved(width, width + new) for group in self.prefix.groups]
        for field in ("modality", "role", "position", "order", "own"):
            fields[field].clamp_min_(0)
        longer = Layout.of(fields)
        prefix = self.prefix
        sequence = self.model.embed(replace(prefix, layout=longer, ids=tokens, groups=places))
        return last_states(self.model.run(sequence)[0], longer)


class CachedSpanReader:
    """Reads an image span again and again over the prefix, which is computed once."""

    def __init__(self, model: UnifiedModel, prefix: Assembly, layout: Layout) -> None:
        self.model = model
        self.layout = layout.to(model.device)
        rows, width = prefix.layout.shape
        self.cache = Cache(model.depth, rows, width + layout.shape[1], model.device)
        prefill(model, prefix, self.cache)
        self.ids = torch.zeros(layout.shape, dtype=torch.long)
        self.graph = prefix.graph

    def read(self, group: Group, times: Tensor) -> tuple[Tensor, Tensor | None]:
        """Read the span's tokens at their times; return its hidden states and conditioning."""
        assembly = Assembly(self.layout, self.ids, times, [group], graph=self.graph)
        return read(self.model, assembly, self.cache, commit=False)


class PlainSpanReader:
    """Reads prefix and span together at each step."""

    def __init__(self, model: UnifiedModel, prefix: Assembly, layout: Layout) -> None:
        self.model = model
        self.prefix = prefix
        self.layout = layout

    def read(self, group: Group, times: Tensor) -> tuple[Tensor, Tensor | None]:
        """Read the span's tokens at their times; return its hidden states and conditioning."""
        prefix, n = self.prefix, self.layout.shape[1]
        rows, width = prefix.layout.shape
        fields = {f: F.pad(getattr(prefix.layout, f), (0, n), value=-1) for f in Layout.FIELDS}
        ends = prefix.layout.valid.sum(1)
        first_time = len(prefix.times)
        for row in range(rows):
            own = slice(int(ends[row]), int(ends[row]) + n)
            clock = int(prefix.layout.order[row, : int(ends[row])].max()) + 1
            for field in Layout.FIELDS:
                fields[field][row, own] = getattr(self.layout, field)[row]
            fields["order"][row, own] += clock
            fields["span"][row, own] += int(prefix.layout.span[row].max()) + 1
            if len(times):
                fields["timed"][row, own] += first_time
        for field in ("modality", "role", "position", "order", "own"):
            fields[field].clamp_min_(0)
        total = width + n
        moved = [group.moved(width, total) for group in prefix.groups]
        places = torch.arange(rows)[:, None] * total + ends[:, None] + torch.arange(n)
        ids = F.pad(prefix.ids, (0, n))
        groups = [*moved, replace(group, places=places)]
        both = torch.cat((prefix.times, times))
        timed = None if prefix.timed is None else torch.cat((prefix.timed, torch.arange(rows)))[: len(both)]
        assembly = replace(prefix, layout=Layout.of(fields), ids=ids, times=both, groups=groups, timed=timed)
        sequence = self.model.embed(assembly)
        hidden = self.model.run(sequence)[0].view(rows * total, -1)[places.to(self.model.device)]
        condition = sequence.condition[first_time:] if sequence.condition is not None and len(times) else None
        return hidden, condition


class CachedTurnReader:
    """Reads one more token of an image per row over a cache."""

    def __init__(self, model: UnifiedModel, prefix: Assembly, span: Span, num_tokens: int) -> None:
        self.model = model
        self.prefix = prefix
        self.span = span
        rows, width = prefix.layout.shape
        self.cache = Cache(model.depth, rows, width + num_tokens, model.device)
        self.drawn = 0
        piece = Piece(1, span.modality, "target", 0, "causal", span.visible)
        self.one = lay_out([[(piece,)]] * rows)[0].to(model.device)
        self.places = torch.arange(rows)[:, None]
        self.ids = torch.zeros(rows, 1, dtype=torch.long)

    def prefill(self) -> Tensor:
        """Read the prompts; return the hidden state `(N, D)` of each row's last position."""
        return last_states(prefill(self.model, self.prefix, self.cache), self.prefix.layout)

    def read(self, tokens: Tensor) -> Tensor:
        """Read one more token a row, `(N, 1)` ids or `(N, 1, d)`; return the hidden states `(N, D)`."""
        span = self.span
        group = Group(span.tokenizer, span.connector, tokens, self.places, head=span.head, offset=self.drawn)
        layout = _later(self.one, self.drawn)
        self.drawn += 1
        return read(self.model, Assembly(layout, self.ids, torch.ones(0), [group]), self.cache, commit=True)[0][:, -1]


class PlainTurnReader:
    """Reads everything again for each token of an image."""

    def __init__(self, model: UnifiedModel, prefix: Assembly, span: Span, num_tokens: int) -> None:
        self.model = model
        self.prefix = prefix
        self.span = span
        self.drawn: list[Tensor] = []

    def prefill(self) -> Tensor:
        """Read the prompts; return the hidden state `(N, D)` of each row's last position."""
        sequence = self.model.embed(self.prefix)
        return last_states(self.model.run(sequence)[0], self.prefix.layout)

    def read(self, tokens: Tensor) -> Tensor:
        """Read one more token a row, `(N, 1)` ids or `(N, 1, d)`; return the hidden states `(N, D)`."""
        self.drawn.append(tokens)
        span, n = self.span, len(self.drawn)
        rows = self.prefix.layout.shape[0]
        layout = lay_out([[(Piece(n, span.modality, "target", 0, "causal", span.visible),)]] * rows)[0]
        places = torch.arange(rows * n).view(rows, n)
        group = Group(span.tokenizer, span.connector, torch.cat(self.drawn, dim=1), places, head=span.head)
        return PlainSpanReader(self.model, self.prefix, layout).read(group, torch.ones(0))[0][:, -1]


class CachedBlockReader:
    """Reads the next block of an image per row over a cache."""

    def __init__(self, model: UnifiedModel, prefix: Assembly, span: Span, num_tokens: int) -> None:
        self.model = model
        self.span = span
        rows, width = prefix.layout.shape
        self.rows = rows
        self.cache = Cache(model.depth, rows, width + num_tokens, model.device)
        self.drawn = 0
        prefill(model, prefix, self.cache)

    def read(self, inputs: Tensor) -> Tensor:
        """Read the inputs `(N, m, ...)` of one more block a row; return its hidden states `(N, m, D)`."""
        span, m = self.span, inputs.shape[1]
        piece = Piece(m, span.modality, "target", 0, "full", span.visible)
        layout = lay_out([[(piece,)]] * self.rows)[0].to(self.model.device)
        layout = _later(layout, self.drawn)
        places = torch.arange(self.rows * m).view(self.rows, m)
        group = Group(span.tokenizer, span.connector, inputs, places, head=span.head, offset=self.drawn)
        self.drawn += m
        ids = torch.zeros(self.rows, m, dtype=torch.long)
        return read(self.model, Assembly(layout, ids, torch.ones(0), [group]), self.cache, commit=True)[0]


class PlainBlockReader:
    """Reads everything again for each block of an image."""

    def __init__(self, model: UnifiedModel, prefix: Assembly, span: Span, num_tokens: int) -> None:
        self.model = model
        self.prefix = prefix
        self.span = span
        self.order = model.assembler.piece(span, num_tokens).order
        self.inputs: list[Tensor] = []

    def read(self, inputs: Tensor) -> Tensor:
        """Read the inputs `(N, m, ...)` of one more block a row; return its hidden states `(N, m, D)`."""
        self.inputs.append(inputs)
        known, span = torch.cat(self.inputs, dim=1), self.span
        rows, n = known.shape[:2]
        assert isinstance(self.order, tuple)
        piece = Piece(n, span.modality, "target", 0, self.order[:n], span.visible)
        places = torch.arange(rows * n).view(rows, n)
        group = Group(span.tokenizer, span.connector, known, places, head=span.head)
        reader = PlainSpanReader(self.model, self.prefix, lay_out([[(piece,)]] * rows)[0])
        return reader.read(group, torch.ones(0))[0][:, -inputs.shape[1] :]


def _later(layout: Layout, drawn: int) -> Layout:
    """Return the layout of a span's next tokens, after `drawn` of them: in the same span as those."""
    return replace(layout, position=layout.position + drawn, span=layout.span - (1 if drawn else 0))


def prefill(model: UnifiedModel, prefix: Assembly, cache: Cache) -> Tensor:
    """Read the prompts into an empty cache; return their hidden states `(B, L, D)`."""
    return read(model, prefix, cache, commit=True)[0]


def read(model: UnifiedModel, assembly: Assembly, cache: Cache, *, commit: bool) -> tuple[Tensor, Tensor | None]:
    """Read new positions over a cache; return their hidden states and conditioning."""
    layout, keys = cache.stage(assembly.layout.to(model.device))
    sequence = model.embed(replace(assembly, layout=layout), keys)
    sequence.memory = cache.remember(sequence.memory, layout)
    hidden, _ = model.run(sequence, cache)
    if commit:
        cache.commit()
    return hidden, sequence.condition


def last_states(hidden: Tensor, layout: Layout) -> Tensor:
    """Return the hidden state `(N, D)` of each row's last position."""
    ends = layout.valid.sum(1).to(hidden.device) - 1
    return hidden[torch.arange(hidden.shape[0], device=hidden.device), ends]


def tell(model: UnifiedModel, head: Head, prefix: Assembly) -> Tensor:
    """Read the prompts; return the hidden states `(N, m, D + 1)` that a head apart reads."""
    assert prefix.told is not None
    sequence = model.embed(prefix)
    hidden, _ = model.run(sequence)
    return told_states(model.read_by(head, hidden, sequence), prefix.told)
