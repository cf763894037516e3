"""Runs that cost nothing: what a child process would leave in a run directory, made up from the command."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmgraph.evaluation import items


class Ended:
    """A process that has ended already."""

    def __init__(self, status: int) -> None:
        self.status = status

    def poll(self) -> int:
        return self.status

    def stop(self) -> None:
        pass


class Launcher:
    """Takes commands and writes metrics.json, items.json and logs for them.

    Args:
        metrics: A metrics.json that fits the schema.
        accuracy: (name of the arm, seed) -> accuracy of naming.
        fails: (name of the arm, seed) -> what a failing run says.
    """

    def __init__(
        self,
        metrics: dict[str, Any],
        accuracy: Callable[[str, int], float] = lambda arm, seed: 0.5,
        fails: dict[tuple[str, int], str] | None = None,
    ) -> None:
        self.metrics = metrics
        self.accuracy = accuracy
        self.fails = fails or {}
        self.started: list[tuple[str, int]] = []
        self.commands: list[Sequence[Sequence[str]]] = []

    def __call__(self, commands: Sequence[Sequence[str]], output: Path, threads: int) -> Ended:
        run = output.parent
        arm, seed = run.relative_to(run.parents[len(run.parts) - 2 - run.parts.index("out")]).parts[0], int(run.name)
        self.started.append((arm, seed))
        self.commands.append(commands)
        if (arm, seed) in self.fails:
            output.write_text(self.fails[arm, seed])
            return Ended(1)
        found = copy.deepcopy(self.metrics)
        rng = random.Random(f"{arm}{seed}")
        right = [float(rng.random() < self.accuracy(arm, seed)) for _ in range(40)]
        share = sum(right) / len(right)
        found["understanding"]["name"] |= {"accuracy": share, "n": 40}
        found["training"] |= {"stream": f"stream{seed}", "budget": "30steps", "steps": 30, "cpu_seconds": 3.0}
        (run / "metrics.json").write_text(json.dumps(found))
        keys = [(f"concept {place // 2}", f"question {place}") for place in range(40)]
        known = {"understanding.name.accuracy": items.items(keys, right)}
        (run / "items.json").write_text(json.dumps(known))
        (run / "logs").mkdir(exist_ok=True)
        losses = "".join(f"{step},{3 - step / 30},\n" for step in range(30))
        (run / "logs" / "metrics.csv").write_text("step,train_loss,val_loss\n" + losses + "29,,2.5\n")
        (run / "logs" / "clock.csv").write_text("step,seconds,cpu_seconds\n10,2,1\n20,4,2\n30,6,3\n")
        return Ended(0)
