from __future__ import annotations

import pytest
import torch
from torch import nn

from mmgraph import denoisers
from tests.testing.broken import broken

DiT = denoisers.dit


def small() -> DiT:
    return DiT(16, 1, num_heads=2)


class TestDenoisers:
    @pytest.mark.parametrize(
        ("forward", "promise", "message"),
        [
            (lambda self, *given: DiT.forward(self, *given)[..., :-1], "input's shape", "expected (3, 4, 8, 8)"),
            (lambda self, x, *rest: x + DiT.forward(self, x, *rest), "fresh one", "start the last layer at zero"),
            (
                lambda self, x, *rest: DiT.forward(self, x - x.mean(0), *rest),
                "that row alone",
                "another prediction than in a batch",
            ),
            (
                lambda self, x, t, memory, mask=None: DiT.forward(self, x, t, memory),
                "mask leaves out",
                "change the prediction; mind `mask`",
            ),
            (
                lambda self, x, t, memory, mask=None: DiT.forward(self, x, torch.ones_like(t), memory, mask),
                "each change",
                "another `time` gives the same prediction",
            ),
            (
                lambda self, x, t, memory, mask=None: DiT.forward(self, x, t, memory.detach(), mask),
                "Gradients reach",
                "no gradient reaches `memory`",
            ),
        ],
    )
    def test_one_thing_wrong(self, forward, promise, message):
        odd = type("Odd", (DiT,), {"__doc__": "Odd.", "forward": forward})
        broken("denoisers", odd, promise, message, lambda: odd(16, 1, num_heads=2))

    def test_a_stale_size(self):
        class Stale(DiT):
            """Builds once."""

            def build(self, channels: int, grid: tuple[int, int], memory_dim: int) -> None:
                if not hasattr(self, "patches"):
                    super().build(channels, grid, memory_dim)

        broken("denoisers", Stale, "leaves none of the old ones", "", lambda: Stale(16, 1, num_heads=2))

    def test_parameters_that_do_nothing(self):
        class Idle(DiT):
            """Has a layer that nobody calls."""

            def build(self, channels: int, grid: tuple[int, int], memory_dim: int) -> None:
                super().build(channels, grid, memory_dim)
                self.spare = nn.Linear(2, 2)

        broken("denoisers", Idle, "Gradients reach", "no gradient reaches spare", lambda: Idle(16, 1, num_heads=2))
