"""Paired measurements: two sides in turns, so that what slows the machine slows both."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Clock = Literal["cpu", "wall"]


def now(clock: Clock) -> float:
    """Return seconds of the process's CPU time, or of the wall."""
    return time.process_time() if clock == "cpu" else time.perf_counter()


@dataclass
class Side:
    """One way of doing a job.

    Args:
        run: Does it `n` times.
        parameters: How many the model has; 0 where that is no part of the comparison.
        seconds: Does it `n` times and returns the seconds that count; None: all of them.
    """

    run: Callable[[int], object]
    parameters: int = 0
    seconds: Callable[[int, Clock], float] | None = None

    def timed(self, steps: int, clock: Clock) -> float:
        """Return the seconds that `steps` runs take."""
        if self.seconds is not None:
            return self.seconds(steps, clock)
        begin = now(clock)
        self.run(steps)
        return now(clock) - begin


@dataclass(frozen=True)
class Ratios:
    """Paired ratios and the medians they come from."""

    median: float
    low: float
    high: float
    first: float
    second: float

    @classmethod
    def of(cls, first: list[float], second: list[float]) -> Ratios:
        """Return the ratios of paired measurements."""
        ratios = [a / b for a, b in zip(first, second, strict=True)]
        return cls(
            statistics.median(ratios),
            min(ratios),
            max(ratios),
            statistics.median(first),
            statistics.median(second),
        )


def alternate(first: Side, second: Side, *, rounds: int, steps: int, warmup: int, clock: Clock) -> Ratios:
    """Time both sides in turns, who goes first changing each round."""
    for _ in range(warmup):
        first.timed(steps, clock)
        second.timed(steps, clock)
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        order = (0, 1) if number % 2 == 0 else (1, 0)
        for which in order:
            times[which].append((first, second)[which].timed(steps, clock) / steps)
    return Ratios.of(*times)


def peak_megabytes() -> float:
    """Return the most memory this process has held so far."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage counts the parent's memory too, where a process was started by vfork
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1024**2
