from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mmgraph.errors import UsageError
from mmgraph.testing import assert_conforms
from mmgraph.tokenizers import patch


def test_contract():
    assert_conforms("tokenizers", patch)
    assert_conforms("tokenizers", patch, lambda: patch(12, 3, channels=1))


def test_nothing_is_lost():
    pictures = torch.arange(256, dtype=torch.uint8).repeat(3).view(1, 3, 16, 16)
    tokenizer = patch(16, 4)
    assert torch.equal(tokenizer.decode(tokenizer.encode(pictures)), pictures)


def test_patches_are_those_of_unfold():
    pictures = torch.randint(0, 256, (2, 3, 8, 8)).to(torch.uint8)
    expected = F.unfold(pictures.float() / 127.5 - 1, 4, stride=4).transpose(1, 2)
    torch.testing.assert_close(patch(8, 4).encode(pictures), expected)


def test_values_out_of_range_are_clipped():
    tokenizer = patch(4, 4, channels=1)
    pictures = tokenizer.decode(torch.tensor([-3.0, 3.0] * 8).view(1, 1, 16))
    assert set(pictures.flatten().tolist()) == {0, 255}


def test_what_does_not_fit():
    with pytest.raises(UsageError, match="patch_size 5 does not divide image_size 32"):
        patch(32, 5)
    with pytest.raises(UsageError, match=r"\(3, 32, 32\), the data set gives \(3, 16, 16\)"):
        patch().encode(torch.zeros(1, 3, 16, 16, dtype=torch.uint8))
