from __future__ import annotations

import pytest
import torch

from mmgraph.errors import UsageError
from mmgraph.testing import assert_conforms
from mmgraph.testing.stand_ins import pictures
from mmgraph.tokenizers import ae


def small() -> torch.nn.Module:
    return ae(16, 4, latent_dim=8, width=16)


def test_contract():
    assert_conforms("tokenizers", ae, small)


def test_latents_are_standardised_per_channel():
    tokenizer, data = small(), pictures(20, 16)
    tokenizer.standardize(iter(data))
    tokens = tokenizer.encode(torch.stack(data)).flatten(0, 1)
    torch.testing.assert_close(tokens.mean(0), torch.zeros(8), atol=1e-4, rtol=0)
    torch.testing.assert_close(tokens.std(0), torch.ones(8), atol=1e-3, rtol=0)


def test_tokens_and_back_is_the_reconstruction():
    tokenizer, data = small(), torch.stack(pictures(4, 16))
    tokenizer.standardize(list(data))
    given, losses = tokenizer.reconstruct(data / 127.5 - 1)
    back = tokenizer.decode(tokenizer.encode(data))
    expected = ((given + 1) * 127.5).round().clamp(0, 255)
    assert (back.int() - expected.int()).abs().max() <= 1
    assert losses == {}


def test_reconstructing_trains_every_weight():
    tokenizer = small()
    tokenizer.reconstruct(torch.randn(2, 3, 16, 16))[0].square().sum().backward()
    assert all(bool(weight.grad.any()) for weight in tokenizer.parameters())


def test_what_does_not_fit():
    with pytest.raises(UsageError, match="downsample 3 must be a power of two"):
        ae(16, 3)
    with pytest.raises(UsageError, match="not trained"):
        ae().fit(pictures(2))
    with pytest.raises(UsageError, match="16 px"):
        small().encode(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
