r"""Held-out losses: each head's objective on samples that training has not seen, comparable between runs.

Noise is a function of (seed, place of the sample), and heads that know the time are scored at five fixed times
instead of random ones. So two models of one objective meet the same noise, and their difference has none of its
variance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from mmgraph.datasets import Dataset, Split
from mmgraph.evaluation.statistics import mean_interval
from mmgraph.heads import Prepared
from mmgraph.sequence import Sample

TIMES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Noise levels (0 noise, 1 data) at which timed heads are scored."""
SAMPLES = 200
"""Samples of each task, where there are that many."""
BATCH = 32


@dataclass(frozen=True)
class HeldOut:
    """The loss of one head on the samples of one task.

    Args:
        values: Mean loss per token of each sample, `(n,)`, averaged over the times.
        by_time: The same at each time, `(times, n)`; None for heads without one.
        concepts: What each sample shows.
    """

    values: Tensor
    by_time: Tensor | None
    concepts: tuple[str, ...]

    def entry(self, seed: int) -> dict[str, Any]:
        """Return the loss as metrics.json holds it."""
        times = {}
        if self.by_time is not None:
            times = {f"{time:g}": float(mean) for time, mean in zip(TIMES, self.by_time.mean(1), strict=True)}
        interval = mean_interval(self.values, self.concepts, seed=seed)
        return {"value": float(self.values.mean()), "n": len(self.values), "ci95": list(interval), "by_time": times}


def held_out(
    model: Any, dataset: Dataset, split: Split, *, limit: int | None = None, seed: int = 0, most: int = 4000
) -> dict[str, dict[str, HeldOut]]:
    """Return task -> head -> held-out loss; nothing for models that do not lay samples out.

    Args:
        model: What is measured; in evaluation mode.
        dataset: Where the samples come from.
        split: Which split.
        limit: At most so many samples of each task.
        seed: Decides the noise.
        most: Samples of a task to choose from, evenly spaced.
    """
    if not hasattr(model, "assemble"):
        return {}
    found: dict[str, dict[str, HeldOut]] = {}
    for task, weight in dataset.tasks.items():
        known = dataset.evaluation(split, task, most) if weight > 0 else []
        count = min(len(known), SAMPLES, limit or SAMPLES)
        chosen = [replace(known[place * len(known) // count], key=place) for place in range(count)]
        wanted = {span.head for sample in chosen for span in model.spans(sample, False) if span.role == "target"}
        if not chosen or not wanted - {None}:
            continue
        rows = sums(model, chosen, seed)
        concepts = tuple(str(sample.meta.get("concept", sample.key)) for sample in chosen)
        found[task] = {head: _of(rows[head], concepts) for head in sorted(wanted - {None}) if head in rows}
    return found


def _of(sums: Tensor, concepts: tuple[str, ...]) -> HeldOut:
    """Return the loss of one head from `(times or 1, n, 2)` sums and counts; samples without a score are left out."""
    scored = sums[..., 1].gt(0).all(0)
    means = averages(sums)[:, scored]
    kept = tuple(concept for concept, use in zip(concepts, scored.tolist(), strict=True) if use)
    return HeldOut(means.mean(0), means if len(means) > 1 else None, kept)


@torch.no_grad()
def sums(model: Any, samples: Sequence[Sample], seed: int) -> dict[str, Tensor]:
    """Return each head's summed loss and count of each sample, `(times or 1, n, 2)`."""
    size = BATCH if model.row_length is None else 1  # packed rows do not say whose a position is
    parts: dict[str, list[Tensor]] = {}
    for start in range(0, len(samples), size):
        batch = samples[start : start + size]
        rows: dict[str, list[Tensor]] = {}
        for number, time in enumerate(TIMES):
            assembly = model.assemble(batch, seed=seed, fixed_time=time)
            for head, found in _rows(model, assembly, len(batch)).items():
                if number == 0 or model.head(head).timed:
                    rows.setdefault(head, []).append(found)
            if not any(model.head(part.head).timed for part in assembly.scored):
                break
        for head, each in rows.items():
            parts.setdefault(head, []).append(torch.stack(each))
    complete = {head: each for head, each in parts.items() if sum(part.shape[1] for part in each) == len(samples)}
    return {head: torch.cat(each, dim=1) for head, each in complete.items()}


def averages(sums: Tensor) -> Tensor:
    """Return the loss of each sample averaged over what its head scored, `(times or 1, n)`, of `sums`."""
    return sums[..., 0] / sums[..., 1].clamp_min(1)


def bits(sums: Tensor) -> Tensor:
    """Return what each sample's codes cost in bits `(n,)`, all together, of a discrete head's `sums`."""
    return sums[0, :, 0] / math.log(2)


def _rows(model: Any, assembly: Any, count: int) -> dict[str, Tensor]:
    """Return each head's summed loss and count of each row, `(rows, 2)`."""
    width = assembly.layout.shape[1]
    found: dict[str, Tensor] = {}
    for scored, states, conditions in model.scored(assembly)[0]:
        sums = found.setdefault(scored.head, torch.zeros(count, 2, dtype=torch.double))
        head = model.head(scored.head)
        for number, places in enumerate(scored.places):
            one = slice(number, number + 1)
            condition = conditions[one] if conditions is not None else None
            total, scale = head.loss(states[one], _slice(scored.prepared, one, states.device), condition)
            sums[int(places[0]) // width] += torch.tensor([float(total), float(scale)], dtype=torch.double)
    return found


def _slice(prepared: Prepared, rows: slice, device: torch.device) -> Prepared:
    """Return some spans of a prepared batch."""
    changed = {}
    for field in fields(prepared):
        value = getattr(prepared, field.name)
        changed[field.name] = value[rows].to(device) if isinstance(value, Tensor) else value
    return replace(prepared, **changed)
