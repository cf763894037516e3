"""Few seeds, honestly: t intervals, exact sign flips, a bootstrap over seeds and items, and Holm's correction.

Reference:
    Student, The probable error of a mean, 1908. Fisher, The Design of Experiments, 1935 (sign flips). Holm, A simple
    sequentially rejective multiple test procedure, 1979. Owen, The pigeonhole bootstrap, 2007.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from mmgraph.evaluation.statistics import LEVEL, RESAMPLES, Interval, percentile, resample

EXACT = 16
"""Up to so many seeds all sign flips are tried; beyond, 65,536 random ones."""


def t_probability(t: float, freedom: int) -> float:
    r"""Return \(P(|T| \le t)\) of Student's t with a whole number of degrees of freedom: a finite sum.

    With \(\theta = \arctan(t / \sqrt\nu)\), the terms are \(\cos^k\theta\) times ratios of successive even and odd
    numbers (Abramowitz and Stegun, 26.7.3 and 26.7.4).
    """
    angle = math.atan2(abs(t), math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    total, term = 0.0, cosine if odd else 1.0
    for k in range(1 + odd, freedom, 2):
        total += term
        term *= cosine**2 * k / (k + 1)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def t_quantile(freedom: int, level: float = LEVEL) -> float:
    """Return the t that \\|T\\| does not exceed with probability `level`."""
    low, high = 0.0, 1.0
    while t_probability(high, freedom) < level:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if t_probability(middle, freedom) < level else (low, middle)
    return (low + high) / 2


def spread(values: Sequence[float]) -> float:
    """Return the standard deviation of a sample; 0 for a single value."""
    if len(values) < 2:
        return 0.0
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def t_interval(values: Sequence[float], level: float = LEVEL) -> Interval | None:
    """Return the t interval of a mean; None for fewer than two values."""
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    reach = t_quantile(len(values) - 1, level) * spread(values) / math.sqrt(len(values))
    return mean - reach, mean + reach


def prediction_interval(values: Sequence[float], level: float = LEVEL, *, least: float = 0.0) -> Interval | None:
    r"""Return where another value of the same kind is expected; None for fewer than three.

    \( \bar x \pm t_{n-1}\, s \sqrt{1 + 1/n} \): wider than the interval of the mean, since one value varies by itself.

    Args:
        values: One of each seed.
        level: Probability that another lies inside.
        least: The standard deviation is taken as no less than this: equal values do not promise another equal one.
    """
    if len(values) < 3:
        return None
    mean = sum(values) / len(values)
    deviation = max(spread(values), least)
    reach = t_quantile(len(values) - 1, level) * deviation * math.sqrt(1 + 1 / len(values))
    return mean - reach, mean + reach


def t_test(differences: Sequence[float]) -> float | None:
    """Return the two-sided p of a mean difference of zero; None where the differences do not vary."""
    deviation = spread(differences)
    if len(differences) < 2 or deviation == 0:
        return None
    t = sum(differences) / len(differences) / (deviation / math.sqrt(len(differences)))
    return 1 - t_probability(t, len(differences) - 1)


def sign_flips(differences: Sequence[float], *, seed: int = 0) -> float | None:
    """Return the two-sided permutation p of paired differences: how often random signs reach their mean.

    With n pairs it cannot fall below 2 / 2^n: five seeds reach .0625 at best.
    """
    if not differences:
        return None
    values = torch.tensor(list(differences), dtype=torch.double)
    if len(values) <= EXACT:
        signs = torch.tensor(list(itertools.product((1.0, -1.0), repeat=len(values))), dtype=torch.double)
    else:
        generator = torch.Generator().manual_seed(seed)
        signs = torch.randint(2, (2**EXACT - 1, len(values)), generator=generator).double() * 2 - 1
        signs = torch.cat((torch.ones(1, len(values), dtype=torch.double), signs))  # as observed is one of them
    means = (signs @ values).abs()
    return float((means >= means[0] * (1 - 1e-9)).double().mean())


def holm(probabilities: Sequence[float | None]) -> list[float | None]:
    """Return Holm's adjusted p of a family of tests; those without a p are none of the family."""
    order = sorted((p, place) for place, p in enumerate(probabilities) if p is not None)
    adjusted: list[float | None] = [None] * len(probabilities)
    highest = 0.0
    for rank, (p, place) in enumerate(order):
        highest = max(highest, min(1.0, p * (len(order) - rank)))
        adjusted[place] = highest
    return adjusted


def crossed_interval(
    differences: Tensor,
    clusters: Sequence[Hashable],
    *,
    num_resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Return the bootstrap interval of the mean of paired differences, over seeds and over items.

    Every seed meets the same items, so both are resampled, each by itself: rows with rows, whole clusters of
    columns with clusters. The interval answers for other seeds and other items of the same kind.

    Args:
        differences: `(seeds, items)`.
        clusters: The cluster of each item.
        num_resamples: Number of resamples.
        level: Coverage aimed at.
        seed: Decides the resamples.
    """
    rows = resample(list(range(len(differences))), num_resamples, seed=seed).double()  # (R, seeds)
    columns = resample(list(clusters), num_resamples, seed=seed + 1).double()  # (R, items)
    weighted = torch.einsum("rs,si,ri->r", rows, differences.double(), columns)
    return percentile(weighted / (rows.sum(1) * columns.sum(1)), level)
