"""How sure a mean is: seeded bootstrap intervals, clustered resampling, paired differences.

Questions about one concept are not independent, so what is resampled is the concept with all its
questions (Efron & Tibshirani, An Introduction to the Bootstrap, 1993; Field & Welsh, Bootstrapping
clustered data, 2007).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor

from mmgraph.errors import UsageError

RESAMPLES = 1000
LEVEL = 0.95

Interval = tuple[float, float]
"""Lower and upper end."""


def resample(clusters: Sequence[Hashable], num_resamples: int = RESAMPLES, *, seed: int = 0) -> Tensor:
    """Return how often each observation appears in each resample of whole clusters, `(R, n)`.

    Args:
        clusters: The cluster of each of the n observations; all different for independent ones.
        num_resamples: Number R of resamples.
        seed: Decides them.
    """
    numbers: dict[Hashable, int] = {}
    rows = torch.tensor([numbers.setdefault(cluster, len(numbers)) for cluster in clusters], dtype=torch.long)
    if not numbers:
        raise UsageError("there is nothing to resample: no observations were given.")
    size = len(numbers)
    picks = torch.randint(size, (num_resamples, size), generator=torch.Generator().manual_seed(seed))
    counts = torch.zeros(num_resamples, size).scatter_add_(1, picks, torch.ones(num_resamples, size))
    return counts[:, rows]  # (R, n)


def percentile(values: Tensor, level: float = LEVEL) -> Interval:
    """Return the percentile interval of resampled values; those that are not finite are left out."""
    finite = values[values.isfinite()].double()
    if not len(finite):
        return float("nan"), float("nan")
    tail = (1 - level) / 2
    low, high = torch.quantile(finite, torch.tensor([tail, 1 - tail], dtype=torch.double)).tolist()
    return low, high


def mean_interval(
    values: Tensor,
    clusters: Sequence[Hashable] | None = None,
    *,
    num_resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Return the bootstrap interval of a mean.

    Right-or-wrong values that are all alike never vary when resampled, yet say little about the next
    observation; then the exact binomial (Clopper-Pearson) bound over clusters stands in for a width of zero.

    Args:
        values: `(n,)`.
        clusters: The cluster of each value; None: each stands alone.
        num_resamples: Number of resamples.
        level: Coverage aimed at.
        seed: Decides the resamples.
    """
    values = values.double()
    groups = list(range(len(values))) if clusters is None else list(clusters)
    if len(groups) != len(values):
        raise UsageError(f"{len(values)} values cannot be clustered by {len(groups)} labels.")
    counts = resample(groups, num_resamples, seed=seed).double()
    if bool((values == values[0]).all()) and float(values[0]) in (0.0, 1.0):
        reach = ((1 - level) / 2) ** (1 / len(set(groups)))
        return (0.0, 1 - reach) if float(values[0]) == 0.0 else (reach, 1.0)
    return percentile((counts @ values) / counts.sum(1), level)


def statistic_interval(
    statistic: Callable[[Tensor], Tensor],
    clusters: Sequence[Hashable],
    *,
    num_resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Return the bootstrap interval of any statistic of weighted observations.

    Args:
        statistic: Takes `(R, n)` counts and returns `(R,)` values.
        clusters: The cluster of each of the n observations.
        num_resamples: Number of resamples.
        level: Coverage aimed at.
        seed: Decides the resamples.
    """
    return percentile(statistic(resample(clusters, num_resamples, seed=seed)), level)


def paired_difference(
    left: Tensor,
    right: Tensor,
    clusters: Sequence[Hashable] | None = None,
    *,
    num_resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> tuple[float, Interval]:
    """Return the mean of `left - right` over the same observations, and its interval.

    Pairing removes what both share (the hardness of a question, the noise of a seed).

    Args:
        left: `(n,)` values of one system.
        right: `(n,)` values of the other, in the same order.
        clusters: The cluster of each observation.
        num_resamples: Number of resamples.
        level: Coverage aimed at.
        seed: Decides the resamples.
    """
    if left.shape != right.shape:
        raise UsageError(f"a paired difference needs equal numbers of values; got {len(left)} and {len(right)}.")
    difference = left.double() - right.double()
    interval = mean_interval(difference, clusters, num_resamples=num_resamples, level=level, seed=seed)
    return float(difference.mean()), interval
