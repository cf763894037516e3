"""The contract of denoisers, and the lazy names of every installed one.

A denoiser is a network of its own beside the body: it reads a noised picture, how noisy it is, and vectors that say
what to draw. The head `denoising` holds one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from mmgraph import registry
from mmgraph.configured import Configured


class Denoiser(Configured, nn.Module, ABC):
    """A noised grid `(N, C, h, w)`, its time and what is asked for to a prediction of the same shape.

    What the prediction means (the data, the noise, a velocity) is the objective's business. Options go to the
    constructor; sizes come from the neighbours in `build`. A fresh denoiser predicts zeros: its last layer, and the
    gates of its branches where it has any, start at zero.
    """

    @abstractmethod
    def build(self, channels: int, grid: tuple[int, int], memory_dim: int) -> None:
        """Create the parameters.

        Args:
            channels: C, numbers per place of the grid.
            grid: Its rows h and columns w.
            memory_dim: Width of the vectors that say what to draw.

        Raises:
            UsageError: If the options do not fit these sizes.
        """

    @abstractmethod
    def forward(self, x: Tensor, time: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the prediction `(N, C, h, w)`.

        Args:
            x: Noised pictures or latents `(N, C, h, w)`.
            time: Of each, `(N,)`: 0 noise, 1 data.
            memory: What to draw, `(N, m, memory_dim)`; m is 1 or more.
            mask: Which of the m there are, `(N, m)` bool, one or more in each row; None: all.
        """


__getattr__, __dir__ = registry.lazy("denoisers")
