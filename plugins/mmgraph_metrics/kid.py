"""Do the drawings, as a whole, look like real pictures?

The Fréchet distance estimates a covariance in 1,280 dimensions, which a few hundred pictures cannot fill;
the kernel distance is unbiased at any number.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmgraph.metrics import Meaning, PictureMetric, PictureSet, Score, mean_of_pairs


class KIDMetric(PictureMetric):
    r"""Kernel distance between drawn and true pictures, unbiased, with the polynomial kernel.

    $\text{KID} = \overline{k(x_i, x_j)} + \overline{k(y_i, y_j)} - 2\,\overline{k(x_i, y_j)}$, means over
    $i \ne j$, with $k(x, y) = (x^\top y / F + 1)^3$. A drawing and the true picture of its own caption are
    not independent, so that pair is left out of the cross term too (Gretton et al., equation 4); sets of
    different size are not paired and use all cross pairs. Being unbiased it may be slightly negative; real
    pictures against other real pictures show how far from zero chance alone takes it.

    Args:
        num_subsets: Random subsets whose standard deviation is told beside the value.
        subset_size: Pictures in each subset; fewer where there are fewer.

    Reference:
        Bińkowski et al., Demystifying MMD GANs, 2018 (arXiv 1801.01401).
        Gretton et al., A Kernel Two-Sample Test, 2012 (https://jmlr.org/papers/v13/gretton12a.html).
    """

    name = "kid"
    meanings = {
        "kid": Meaning("KID", "Kernel distance between all drawings and all true pictures.", "lower"),
    }
    real = "other"

    def __init__(self, num_subsets: int = 100, *, subset_size: int = 100) -> None:
        if num_subsets < 2 or subset_size < 2:
            raise ValueError(f"KID needs at least 2 subsets of 2, not {num_subsets} of {subset_size}.")
        self.num_subsets = num_subsets
        self.subset_size = subset_size

    def compute(
        self, drawn: PictureSet, true: PictureSet, train: PictureSet, *, generator: torch.Generator
    ) -> dict[str, Score]:
        """Return the distance; nothing if either side has fewer than two pictures."""
        n, m = len(drawn), len(true)
        if min(n, m) < 2:
            return {}
        paired = n == m
        x, y = drawn.features.double(), true.features.double()
        kernels = kernel(x, x), kernel(y, y), kernel(x, y)
        every = torch.ones(1, n, dtype=torch.double), torch.ones(1, m, dtype=torch.double)
        value = float(mmd(*kernels, *every, paired=paired))
        size = min(self.subset_size, n, m)
        spread = None
        if size < max(n, m):
            left = subsets(self.num_subsets, n, size, generator)
            right = left if paired else subsets(self.num_subsets, m, size, generator)
            spread = float(mmd(*kernels, left, right, paired=paired).std())

        def resampled(counts: Tensor) -> Tensor:
            counts = counts.double()
            return mmd(*kernels, counts, counts, paired=True)

        return {"kid": Score(value, n, spread=spread, resampled=resampled if paired else None)}


def kernel(left: Tensor, right: Tensor) -> Tensor:
    """Return the polynomial kernel `(N, M)` of features `(N, F)` and `(M, F)`."""
    return (left @ right.T / left.shape[1] + 1) ** 3


def mmd(xx: Tensor, yy: Tensor, xy: Tensor, left: Tensor, right: Tensor, *, paired: bool) -> Tensor:
    """Return the unbiased squared maximum mean discrepancy of each resample `(R,)`.

    A picture that a resample holds twice must not be compared with itself, or every resample would look less
    diverse than the whole; so only pairs of different pictures enter.

    Args:
        xx: Kernel within the drawn `(N, N)`.
        yy: Kernel within the true `(M, M)`.
        xy: Kernel across `(N, M)`.
        left: How often each drawn picture counts in each resample `(R, N)`.
        right: The same of the true pictures `(R, M)`.
        paired: Whether row i and column i of `xy` belong together and are to be left out.
    """
    if paired:
        cross = mean_of_pairs(xy, left)
    else:
        cross = ((left @ xy) * right).sum(1) / (left.sum(1) * right.sum(1))
    return mean_of_pairs(xx, left) + mean_of_pairs(yy, right) - 2 * cross


def subsets(number: int, count: int, size: int, generator: torch.Generator) -> Tensor:
    """Return which of `count` pictures each of `number` random subsets of `size` holds, `(number, count)`."""
    order = torch.rand(number, count, generator=generator, dtype=torch.double).argsort(1)
    return torch.zeros(number, count, dtype=torch.double).scatter_(1, order[:, :size], 1.0)
