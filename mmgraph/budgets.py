"""How much training a run may use: a number of steps, or seconds of the processor."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mmgraph.errors import UsageError

_FORMS = {
    "steps": re.compile(r"(\d+)\s*steps?"),
    "cpu_seconds": re.compile(r"(\d+(?:\.\d+)?)\s*cpu-s"),
}


@dataclass(frozen=True)
class Budget:
    """A limit on training; exactly one of the two is set.

    Args:
        steps: Optimiser steps.
        cpu_seconds: CPU seconds of the training loop, over all threads, validation left out.
    """

    steps: int | None = None
    cpu_seconds: float | None = None

    def __str__(self) -> str:
        return f"{self.steps}steps" if self.steps is not None else f"{self.cpu_seconds:g}cpu-s"


def parse(text: str) -> Budget:
    """Return the budget that `2000steps` or `600cpu-s` says.

    Raises:
        UsageError: If the text says neither, or nothing at all could be trained in it.
    """
    for kind, form in _FORMS.items():
        match = form.fullmatch(str(text).strip())
        if match and float(match[1]) > 0:
            return Budget(steps=int(match[1])) if kind == "steps" else Budget(cpu_seconds=float(match[1]))
    raise UsageError(f"the budget '{text}' is no budget: write 2000steps (optimiser steps) or 600cpu-s (CPU seconds).")
