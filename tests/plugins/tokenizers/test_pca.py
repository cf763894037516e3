from __future__ import annotations

import numpy
import pytest
import torch

from mmgraph.errors import RunError, UsageError
from mmgraph.testing import assert_conforms
from mmgraph.testing.stand_ins import pictures
from mmgraph.tokenizers import pca


@pytest.fixture(scope="module")
def data() -> torch.Tensor:
    noise = torch.randint(0, 60, (40, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    return (torch.stack(pictures(40, 16)).long() * 3 // 4 + noise).to(torch.uint8)


def by_numpy(data: torch.Tensor, patch_size: int):
    """Centred patches and their singular value decomposition."""
    places = range(0, 16, patch_size)
    found = [
        picture[:, y : y + patch_size, x : x + patch_size].reshape(-1)
        for picture in data.numpy()
        for y in places
        for x in places
    ]
    patches = numpy.stack(found).astype(numpy.float64) / 127.5 - 1
    mean = patches.mean(0)
    _, values, basis = numpy.linalg.svd(patches - mean, full_matrices=False)
    return patches, mean, values / len(patches) ** 0.5, basis


def test_contract():
    assert_conforms("tokenizers", pca, lambda: pca(16, 4, components=12))
    assert_conforms("tokenizers", pca)


@pytest.mark.parametrize("whitening", [0.0, 0.5, 1.0])
def test_tokens_are_scaled_projections_on_singular_vectors(data, whitening):
    tokenizer = pca(16, 4, components=6, whitening=whitening)
    tokenizer.fit(data)
    patches, mean, deviations, basis = by_numpy(data, 4)
    tokens = tokenizer.encode(data).flatten(0, 1).double().numpy()
    expected = (patches - mean) @ basis[:6].T / deviations[:6] ** whitening
    expected /= (expected.var(0).mean()) ** 0.5  # the mean variance is one
    signs = numpy.sign((tokens * expected).sum(0))
    numpy.testing.assert_allclose(tokens * signs, expected, atol=2e-4)


def test_white_tokens_are_uncorrelated_with_unit_variance(data):
    tokenizer = pca(16, 4, components=12)
    tokenizer.fit(data)
    covariance = torch.cov(tokenizer.encode(data).flatten(0, 1).T, correction=0)
    torch.testing.assert_close(covariance, torch.eye(12), atol=2e-3, rtol=0)


def test_the_error_is_the_energy_left_out(data):
    """Eckart and Young: no linear map to so few numbers does better."""
    patches, _, deviations, _ = by_numpy(data, 4)
    for components in (4, 16):
        tokenizer = pca(16, 4, components=components)
        tokenizer.fit(data)
        back = tokenizer.decode(tokenizer.encode(data))
        error = float((back.double() - data.double()).square().mean()) / 127.5**2
        left_out = float((deviations[components:] ** 2).sum()) / patches.shape[1]
        assert error == pytest.approx(left_out, rel=0.02)  # rounding to bytes and clipping


def test_all_components_lose_nothing(data):
    tokenizer = pca(16, 4, components=48)
    tokenizer.fit(data)
    assert (tokenizer.decode(tokenizer.encode(data)).int() - data.int()).abs().max() <= 1


def test_what_does_not_fit():
    with pytest.raises(UsageError, match="a patch has 12 numbers, fewer than components 48"):
        pca(16, 2)
    with pytest.raises(RunError, match="no training picture"):
        pca().fit([])
