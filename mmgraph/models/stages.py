"""Training in stages: which parts learn when (align, then instruct)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from mmgraph.errors import UsageError, nearest


@dataclass(frozen=True)
class Stage:
    """One stretch of training, in which some parts learn and the rest stays as it is.

    Names are those of `model.named_parameters()`; `*` stands for one level, and a name covers all below it:
    `connectors`, `blocks.*.cross`, `tokenizers.image`.

    Args:
        steps: Optimiser steps; None: to the end, in the last stage only.
        train: Parts that learn; `*` alone means all that no part has frozen by itself.
        freeze: Parts that do not, even where `train` names them.
        tasks: Weight of each task in the training stream; None: as in the data set's options.

    Reference:
        Liu et al., Visual Instruction Tuning, 2023 (arXiv 2304.08485).
    """

    steps: int | None = None
    train: tuple[str, ...] | list[str] = ("*",)
    freeze: tuple[str, ...] | list[str] = ()
    tasks: dict[str, float] | None = None


def pattern(name: str) -> re.Pattern[str]:
    """Return what matches the parameters that `name` covers; its groups are what each `*` stood for."""
    parts = (r"([^.]+)" if part == "*" else re.escape(part) for part in name.split("."))
    return re.compile(r"\.".join(parts) + r"(\..+)?")


class Stages:
    """Applies stages to a model.

    Args:
        stages: In order.
        module: Whose parameters are frozen and unfrozen; it has all of them by now.

    Raises:
        UsageError: If a stage names no parameter, trains nothing, or its length cannot be known.
    """

    def __init__(self, stages: Sequence[Stage], module: nn.Module) -> None:
        self.parameters = dict(module.named_parameters())
        self.starts: list[int] = []
        free = {name for name, parameter in self.parameters.items() if parameter.requires_grad}
        self.learning: list[set[str]] = []
        start: int | None = 0
        for number, stage in enumerate(stages, 1):
            if start is None:
                raise UsageError(f"stage {number - 1} has no `steps`, so stage {number} never starts.")
            self.starts.append(start)
            start = None if stage.steps is None else start + stage.steps
            names = set().union(*(free if name == "*" else self._named(name, number) for name in stage.train))
            names -= set().union(*(self._named(name, number) for name in stage.freeze))
            if not names:
                raise UsageError(f"stage {number} trains nothing: everything under {list(stage.train)} is frozen.")
            self.learning.append(names)

    @property
    def ever(self) -> set[str]:
        """Parameters that learn in some stage: what the optimiser holds."""
        return set().union(*self.learning)

    def apply(self, names: Iterable[str]) -> None:
        """Let these parameters learn, and no others."""
        chosen = set(names)
        for name, parameter in self.parameters.items():
            learns = name in chosen
            if parameter.requires_grad != learns:
                parameter.requires_grad_(learns)
                parameter.grad = None

    def at(self, step: int) -> int:
        """Return the number of the stage that `step` belongs to, from 0."""
        return sum(step >= start for start in self.starts) - 1

    def _named(self, name: str, number: int) -> set[str]:
        covers = pattern(name)
        found = {own for own in self.parameters if covers.fullmatch(own)}
        if not found:
            parts = {own.split(".")[0] for own in self.parameters} | {
                ".".join(own.split(".")[:2]) for own in self.parameters
            }
            raise UsageError(f"stage {number} names '{name}', which has no parameters. {nearest(name, sorted(parts))}")
        return found


def schedule(stages: Sequence[Stage], tasks: Mapping[str, float]) -> list[tuple[int, Mapping[str, float]]]:
    """Return from which step on which task weights hold."""
    found: list[tuple[int, Mapping[str, float]]] = []
    step = 0
    for stage in stages:
        found.append((step, stage.tasks if stage.tasks is not None else tasks))
        step += stage.steps or 0
    return found
