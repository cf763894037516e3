"""The table of comparisons; imports nothing heavy, so that each process loads only the side it runs."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.benchmarks.measuring import Clock, Ratios, Side, alternate, peak_megabytes
from tests.benchmarks.sizes import FULL, Sizes


@dataclass(frozen=True)
class Case:
    """One row: a ratio of two sides and what it should be.

    Args:
        name: Of the row.
        first: The numerator, `module.function` of this package; takes `Sizes`, returns a `Side`.
        second: The denominator.
        goal: What the ratio should be.
        sense: Whether the goal is a ceiling or a floor.
        measure: Seconds or megabytes.
        rounds: Pairs that are measured.
        steps: Runs of each side in one round.
        warmup: Rounds that are not counted.
        needs: A package of the extra `bench`.
    """

    name: str
    first: str
    second: str
    goal: float
    sense: Literal["at most", "at least"]
    measure: Literal["seconds", "megabytes"] = "seconds"
    rounds: int = 9
    steps: int = 1
    warmup: int = 2
    needs: str | None = None

    @property
    def missing(self) -> bool:
        """Whether a package that it needs is not installed."""
        return self.needs is not None and importlib.util.find_spec(self.needs) is None

    def meets(self, ratio: float) -> bool:
        """Whether a ratio reaches the goal."""
        return ratio <= self.goal if self.sense == "at most" else ratio >= self.goal


PEER = "transfusion_pytorch"
QUANTIZER = "vector_quantize_pytorch"
TRANSFORMERS = "transformers"
CASES = (
    Case("lightning / bare loop", "ours.lightning", "ours.bare", 1.05, "at most", rounds=15, steps=2),
    Case("text: ours / small GPT", "ours.text", "peers.small_gpt", 1.10, "at most", rounds=15),
    Case("mixed: transfusion-pytorch / ours", "peers.transfusion", "ours.mixed", 3.0, "at least", needs=PEER),
    Case(
        "ragged: transfusion-pytorch / ours",
        "peers.transfusion_ragged",
        "ours.ragged",
        3.0,
        "at least",
        needs=PEER,
    ),
    Case(
        "mixed memory: ours / transfusion-pytorch",
        "ours.mixed",
        "peers.transfusion",
        0.5,
        "at most",
        "megabytes",
        rounds=3,
        steps=3,
        needs=PEER,
    ),
    Case(
        "ragged memory: ours / transfusion-pytorch",
        "ours.ragged",
        "peers.transfusion_ragged",
        0.5,
        "at most",
        "megabytes",
        rounds=3,
        steps=4,
        needs=PEER,
    ),
    Case(
        "mixed, 256 image tokens: transfusion-pytorch / ours",
        "peers.transfusion_wide",
        "ours.wide",
        3.3,
        "at least",
        rounds=3,
        warmup=1,
        needs=PEER,
    ),
    Case(
        "mixed memory, 256 image tokens: ours / transfusion-pytorch",
        "ours.wide",
        "peers.transfusion_wide",
        0.34,
        "at most",
        "megabytes",
        rounds=2,
        steps=2,
        needs=PEER,
    ),
    Case(
        "drawing 8 pictures: transfusion-pytorch / ours",
        "peers.transfusion_drawing",
        "ours.drawing",
        6.0,
        "at least",
        rounds=5,
        warmup=1,
        needs=PEER,
    ),
    Case(
        "decode, batch 1: transformers / ours",
        "peers.llama_one",
        "ours.cached_one",
        1.5,
        "at least",
        rounds=7,
        needs=TRANSFORMERS,
    ),
    Case(
        "decode, batch 32: transformers / ours",
        "peers.llama_many",
        "ours.cached_many",
        1.5,
        "at least",
        rounds=5,
        warmup=1,
        needs=TRANSFORMERS,
    ),
    Case(
        "decode, batch 1: uncached / cached",
        "ours.uncached_one",
        "ours.cached_one",
        2.0,
        "at least",
        rounds=7,
    ),
    Case(
        "decode, batch 32: uncached / cached",
        "ours.uncached_many",
        "ours.cached_many",
        10.0,
        "at least",
        rounds=3,
        warmup=1,
    ),
    Case(
        "codebook, training: ours / vector-quantize-pytorch",
        "ours.codebook",
        "peers.codebook",
        1.0,
        "at most",
        rounds=15,
        steps=10,
        needs=QUANTIZER,
    ),
    Case(
        "codebook, encoding: ours / vector-quantize-pytorch",
        "ours.codes",
        "peers.codes",
        1.0,
        "at most",
        rounds=15,
        steps=10,
        needs=QUANTIZER,
    ),
    Case("experts by modality / dense", "experts.by_modality", "experts.shared", 1.1, "at most"),
    Case("experts by modality / dense, ragged", "experts.by_modality_ragged", "experts.shared_ragged", 1.1, "at most"),
    Case("experts by role / dense", "experts.by_role", "experts.shared", 1.1, "at most"),
    Case("top-2 of 8 experts / dense", "experts.topk", "experts.shared", 1.2, "at most"),
    Case(
        "top-2 of 8 experts: ours / Mixtral",
        "experts.layer",
        "peers.mixtral",
        1.0,
        "at most",
        rounds=15,
        needs=TRANSFORMERS,
    ),
    Case("DiT step: ours / diffusers", "denoisers.ours", "denoisers.theirs", 1.0, "at most", rounds=11),
    Case("emoji: loading / step", "ours.loading", "ours.emoji_step", 0.03, "at most", rounds=9, steps=2),
)


def resolve(side: str) -> Callable[[Sizes], Side]:
    """Return the builder that `module.function` names."""
    module, function = side.split(".")
    return getattr(importlib.import_module(f"{__package__}.{module}"), function)


def seconds(case: Case, clock: Clock, sizes: Sizes = FULL) -> tuple[Ratios, tuple[int, int]]:
    """Time both sides of a case in this process; return the ratios and both numbers of parameters."""
    first, second = resolve(case.first)(sizes), resolve(case.second)(sizes)
    ratios = alternate(first, second, rounds=case.rounds, steps=case.steps, warmup=case.warmup, clock=clock)
    return ratios, (first.parameters, second.parameters)


def megabytes(case: Case, side: str, sizes: Sizes = FULL) -> dict[str, float]:
    """Return the peak memory of one side in this process, and what its imports alone take."""
    build = resolve(side)
    if case.needs and side.startswith("peers."):
        importlib.import_module(case.needs)
    imports = peak_megabytes()
    built = build(sizes)
    built.run(case.steps)
    return {"imports": imports, "peak": peak_megabytes(), "parameters": built.parameters}
