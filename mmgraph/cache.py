"""Keys and values of earlier positions, with a length of its own for every row.

The cache keeps the layout of what it holds, so the one mask builder serves cached and uncached runs alike.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmgraph.sequence import PADDING, Layout, Memory


class LayerCache:
    """Keys and values of one layer."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._keys: Tensor | None = None
        self._values: Tensor | None = None

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write `(B, H, L, K)` keys and values at the staged places; return all so far `(B, H, S, K)`."""
        if self._keys is None or self._values is None:
            shape = (keys.shape[0], keys.shape[1], self._cache.capacity, keys.shape[3])
            self._keys = keys.new_zeros(shape)
            self._values = values.new_zeros(shape)
        self._cache.write(self._keys, keys)
        self._cache.write(self._values, values)
        stop = self._cache.staged_stop
        return self._keys[:, :, :stop], self._values[:, :, :stop]


class Cache:
    """What has been read so far, row by row.

    `stage` places new positions after each row's end; `commit` keeps them. Without `commit` the next
    `stage` overwrites them: that is how an image is denoised many times over one prefix.

    Args:
        depth: Number of layers.
        rows: Batch size B.
        capacity: Most positions a row may hold.
        device: Where it lives.
    """

    def __init__(self, depth: int, rows: int, capacity: int, device: torch.device | str = "cpu") -> None:
        self.capacity = capacity
        self.layers = [LayerCache(self) for _ in range(depth)]
        self.lengths = torch.zeros(rows, dtype=torch.long, device=device)
        self.staged_stop = 0
        self._uniform: int | None = 0  # the one length of all rows, where there is one
        self._fields = {
            name: torch.full((rows, capacity), PADDING, dtype=torch.long, device=device)
            for name in Layout.FIELDS
        }
        self._clock = torch.zeros(rows, dtype=torch.long, device=device)
        self._words = torch.zeros(rows, dtype=torch.long, device=device)
        self._pieces = torch.zeros(rows, dtype=torch.long, device=device)
        self._memory: Memory = {}  # tokens (B, M, D), seen (B, M)
        self._places: Tensor | None = None
        self._staged: Layout | None = None

    def stage(self, layout: Layout) -> tuple[Layout, Layout]:
        """Place new positions after each row's end.

        Returns:
            The layout of the new positions, counting on from what is cached, and that of all keys.

        Raises:
            ValueError: If a row would be longer than the capacity.
        """
        width = layout.shape[1]
        longest = self._uniform if self._uniform is not None else int(self.lengths.max())
        if longest + width > self.capacity:
            raise ValueError(
                f"the cache holds {self.capacity} positions a row, {longest + width} are needed."
            )
        text = (layout.modality == 0).long()
        placed = {name: getattr(layout, name) for name in Layout.FIELDS}
        placed["order"] = layout.order + self._clock[:, None]
        placed["span"] = layout.span + self._pieces[:, None]
        placed["position"] = layout.position + self._words[:, None] * text
        self.staged_stop = longest + width
        if self._staged is not None:
            self._forget_beyond_end()  # an uncommitted longer stage would show in the shorter rows
        if self._uniform is not None:
            self._places = None
            for name, value in placed.items():
                self._fields[name][:, self._uniform : self.staged_stop] = value
        else:
            self._places = self.lengths[:, None] + torch.arange(width, device=self.lengths.device)
            for name, value in placed.items():
                self._fields[name].scatter_(1, self._places, value)
        self._staged = Layout.of(placed, timed_slice=layout.timed_slice)
        keys = Layout.of({name: value[:, : self.staged_stop] for name, value in self._fields.items()})
        return self._staged, keys

    def write(self, store: Tensor, new: Tensor) -> None:
        """Write `(B, H, L, K)` at the staged places of `(B, H, capacity, K)`."""
        if self._uniform is not None:
            store[:, :, self._uniform : self.staged_stop] = new
        else:
            assert self._places is not None
            rows = torch.arange(len(store), device=store.device)[:, None]
            store[rows, :, self._places] = new.transpose(1, 2)  # a quarter of the time of a scatter over every number

    def commit(self) -> None:
        """Keep what was staged, padding left out."""
        staged = self._staged
        assert staged is not None, "stage comes first"
        valid = staged.valid
        counts = valid.sum(1)
        width = staged.shape[1]
        whole = bool(valid.all())
        self._clock = torch.maximum(self._clock, torch.where(valid, staged.order + 1, 0).amax(1))
        self._pieces = torch.maximum(self._pieces, torch.where(valid, staged.span + 1, 0).amax(1))
        self._words = self._words + (valid & (staged.modality == 0)).sum(1)
        self.lengths = self.lengths + counts
        self._staged = None
        self._uniform = self._uniform + width if whole and self._uniform is not None else self._one_length()
        self._forget_beyond_end()

    def remember(self, memory: Memory, layout: Layout) -> Memory:
        """Keep what the first positions cross-attend to, and give it to all later ones.

        Args:
            memory: Of the positions just staged; empty if they bring none.
            layout: Of the positions just staged.
        """
        for name, (tokens, visible) in memory.items():
            self._memory[name] = tokens, None if visible is None else visible.any(1)
        if memory:
            return memory
        valid = layout.valid[:, :, None]
        return {
            name: (tokens, None if seen is None else seen[:, None, :] & valid)
            for name, (tokens, seen) in self._memory.items()
        }

    def truncate(self, lengths: Tensor) -> None:
        """Forget what lies beyond `lengths` positions of each row `(B,)`."""
        self.lengths = torch.minimum(self.lengths, lengths)
        self._forget_beyond_end()
        kept = self._fields["sample"] >= 0
        self._clock = torch.where(kept, self._fields["order"] + 1, 0).amax(1)
        self._pieces = torch.where(kept, self._fields["span"] + 1, 0).amax(1)
        self._words = (kept & (self._fields["modality"] == 0)).sum(1)
        self._uniform = self._one_length()

    def _one_length(self) -> int | None:
        first = int(self.lengths[0])
        return first if bool((self.lengths == first).all()) else None

    def _forget_beyond_end(self) -> None:
        beyond = torch.arange(self.capacity, device=self.lengths.device) >= self.lengths[:, None]
        self._fields["sample"].masked_fill_(beyond, PADDING)
