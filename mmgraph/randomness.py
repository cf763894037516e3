"""Random draws that depend on the sample, not on who draws, when, or beside whom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


class SampleRandom:
    """Random draws that depend only on (seed, key of the sample, number of the draw).

    The order, noise and time of a sample are then the same after a resume, on another number of
    processes, and in every arm of a paired comparison.

    Args:
        seed: Seed of the run.
        keys: One number per row.
    """

    def __init__(self, seed: int, keys: Iterable[int]) -> None:
        self.seed = seed
        self.keys = list(keys)
        self._generators = [
            torch.Generator().manual_seed((seed * 0x9E3779B97F4A7C15 + (key + 1) * 0xBF58476D1CE4E5B9) % 2**63)
            for key in self.keys
        ]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def generators(self) -> list[torch.Generator]:
        """The streams themselves, one a row, for libraries that draw from a list of generators."""
        return list(self._generators)

    def select(self, rows: Sequence[int]) -> SampleRandom:
        """Return the streams of some rows; they go on where these stand."""
        chosen = SampleRandom(self.seed, ())
        chosen.keys = [self.keys[row] for row in rows]
        chosen._generators = [self._generators[row] for row in rows]
        return chosen

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal draws `(rows, *shape)`."""
        if not self._generators:
            return torch.zeros(0, *shape)
        return torch.stack([torch.randn(shape, generator=g) for g in self._generators])

    def uniform(self, *shape: int) -> Tensor:
        """Return uniform draws in [0, 1) `(rows, *shape)`."""
        if not self._generators:
            return torch.zeros(0, *shape)
        return torch.stack([torch.rand(shape, generator=g) for g in self._generators])
