from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from mmgraph.models import Optimization


def rates(optimization: Optimization, steps: int, planned: float) -> list[float]:
    """The learning rates that an optimiser really uses."""
    made = optimization.configure(nn.Linear(2, 2), planned)
    found = []
    for _ in range(steps):
        found.append(made["optimizer"].param_groups[0]["lr"])
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
    assert made["lr_scheduler"]["interval"] == "step"
    return found


def test_warm_up_then_a_line_to_zero():
    found = rates(Optimization(2.0, warmup_steps=4), 15, 14)
    assert found == pytest.approx([0.5, 1.0, 1.5, 2.0, *(2 * (1 - k / 10) for k in range(11))])


def test_cosine():
    found = rates(Optimization(1.0, warmup_steps=0, schedule="cosine"), 9, 8)
    assert found == pytest.approx([(1 + math.cos(math.pi * k / 8)) / 2 for k in range(9)], abs=1e-12)


@pytest.mark.parametrize("options", [{"schedule": "constant"}, {"schedule": "linear", "planned": math.inf}])
def test_no_decay(options):
    planned = options.pop("planned", 6)
    assert rates(Optimization(1.0, warmup_steps=2, **options), 9, planned) == pytest.approx([0.5] + [1.0] * 8)


def test_never_negative_after_the_plan():
    assert Optimization(warmup_steps=0).factor(50, 10) == 0


def test_only_matrices_decay():
    module = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    module[0].weight.requires_grad_()
    optimizer = Optimization(0.1, weight_decay=0.5, warmup_steps=0).configure(module, 10)["optimizer"]
    before = [p.detach().clone() for p in module.parameters()]
    for p in module.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    weight, *rest = zip(before, module.parameters(), strict=True)
    torch.testing.assert_close(weight[1].detach(), weight[0] * (1 - 0.1 * 0.5))
    assert all(torch.equal(old, new) for old, new in rest)


def test_frozen_parameters_are_left_out():
    module = nn.Linear(2, 2)
    module.bias.requires_grad_(False)
    optimizer = Optimization().configure(module, 10)["optimizer"]
    assert [id(p) for group in optimizer.param_groups for p in group["params"]] == [id(module.weight)]
