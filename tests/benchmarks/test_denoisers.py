from __future__ import annotations

from tests.benchmarks import denoisers
from tests.benchmarks.sizes import FULL


def test_the_transformers_are_of_one_size() -> None:
    """diffusers' has an embedding of time and class in every layer; without it, both have the same parameters."""
    theirs = denoisers.theirs(FULL).parameters
    dim = FULL.dim
    embeddings = 256 * dim + dim + dim * dim + dim + 17 * dim  # two layers for the step, one row for each class
    assert abs(denoisers.ours(FULL).parameters / (theirs - (FULL.depth - 1) * embeddings) - 1) < 0.02
