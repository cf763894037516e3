"""Zero mean and unit deviation per feature, measured on training pictures: connectors then need no tuning."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from mmgraph.fitted import Fitted


class Standardizer(Fitted):
    r"""\( z = (h - \mu) / \sigma \), per feature.

    Shapes:
        `(N, n, d)` to the same.
    """

    fitted_buffers = ("mean", "deviation")

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.empty(0))
        self.register_buffer("deviation", torch.empty(0))

    def measure(self, features: Iterable[Tensor]) -> None:
        """Take mean and deviation of all `(N, n, d)` features."""
        rows = torch.cat([part.detach().flatten(0, 1) for part in features])
        self.mean = rows.mean(0)
        spread = rows.std(0)
        # a feature that hardly ever moves would be blown up to rounding noise
        self.deviation = spread.clamp_min(max(1e-4, 0.05 * float(spread.mean())))

    def forward(self, features: Tensor) -> Tensor:
        """Return the standardised features."""
        return (features - self.mean) / self.deviation

    def undo(self, standardised: Tensor) -> Tensor:
        """Return the features that were standardised."""
        return standardised.to(self.mean) * self.deviation + self.mean
