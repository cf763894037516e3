from __future__ import annotations

import pytest
import torch

from mmgraph import registry
from mmgraph.denoisers import dit, mmdit, unet
from mmgraph.errors import UsageError
from mmgraph.testing import assert_conforms

FIRST_PARTY = [entry.name for entry in registry.declared("denoisers") if entry.distribution == "mmgraph"]


@pytest.mark.parametrize("name", FIRST_PARTY)
def test_contract(name):
    assert_conforms("denoisers", registry.load("denoisers", name))


@pytest.mark.parametrize(
    "make",
    [
        lambda: dit(16, 2, num_heads=2, conditioning="cross_attention"),
        lambda: dit(16, 2, num_heads=2, conditioning="in_context", patch_size=4),
        lambda: dit(8, 1, num_heads=1, patch_size=1, mlp_ratio=2.0),
        lambda: mmdit(16, 1, num_heads=2),
        lambda: mmdit(16, 3, num_heads=2, patch_size=4),
        lambda: unet((16,), num_heads=2),
        lambda: unet((16, 24, 24), 1, num_heads=2, attends=(True, False, True)),
    ],
)
def test_contract_with_other_options(make):
    assert_conforms("denoisers", type(make()), make)


@pytest.mark.parametrize("name", FIRST_PARTY)
def test_rows_and_columns_may_differ(name):
    denoiser = registry.load("denoisers", name)()
    denoiser.build(3, (4, 8), 6)
    x = torch.randn(2, 3, 4, 8)
    assert denoiser(x, torch.rand(2), torch.randn(2, 5, 6)).shape == x.shape


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dit(30, num_heads=3), "width 30 of dit must be a multiple of 4"),
        (lambda: mmdit(32, num_heads=5), "width 32 of mmdit must be a multiple of 4 and of its num_heads 5"),
        (lambda: dit(patch_size=3), "patch_size 3 of dit does not divide the grid of 8 x 8"),
        (lambda: unet((8, 8, 8, 8, 8)), "the unet halves the grid of 8 x 8 4 times, which needs multiples of 16"),
        (lambda: unet((8, 16), attends=(True,)), "the unet has 2 widths, but 1 values of `attends`"),
        (lambda: unet((8, 18), num_heads=4), "num_heads 4 does not divide the unet's width 18"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make().build(4, (8, 8), 6)
