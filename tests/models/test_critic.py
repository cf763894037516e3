"""The critic and the perceptual distance, against their formulas."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmgraph.models.critic import Adversary, PatchCritic, balance, hinge
from mmgraph.models.perceptual import BLOCKS, MEAN, STD, PerceptualLoss, network


def test_the_hinge_stops_at_its_margin():
    assert float(hinge(torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.0]))) == pytest.approx(0.5 * 0.25 + 0.5 * 0.5)


def test_balance_is_the_ratio_of_gradients_at_the_last_layer():
    torch.manual_seed(0)
    layer = nn.Linear(3, 2, bias=False)
    given = layer(torch.randn(5, 3))
    first, second = given.square().mean(), (given * torch.randn(5, 2)).sum()
    ratio = balance(first, second, layer.weight)
    ours, theirs = (torch.autograd.grad(loss, layer.weight, retain_graph=True)[0] for loss in (first, second))
    assert float(ratio) == pytest.approx(float(ours.norm() / theirs.norm()), rel=1e-4)
    assert not ratio.requires_grad
    assert float(balance(first, 0 * second, layer.weight)) == 1e4


def test_the_critic_learns_to_tell_and_judges_without_learning():
    torch.manual_seed(0)
    adversary = Adversary(3)
    real, fake = torch.rand(16, 3, 16, 16), -torch.rand(16, 3, 16, 16)
    losses = [float(adversary.learn(fake, real, 3e-3)) for _ in range(12)]
    assert losses[-1] < 0.2 * losses[0]
    before = {name: value.clone() for name, value in adversary.critic.state_dict().items()}
    given = fake.clone().requires_grad_()
    adversary.judge(given).backward()
    assert given.grad.abs().sum() > 0
    assert all(weight.grad is None or not weight.requires_grad for weight in adversary.critic.parameters())
    assert all(torch.equal(value, before[name]) for name, value in adversary.critic.state_dict().items())
    assert PatchCritic(1)(torch.zeros(2, 1, 24, 32)).shape == (2, 1, 6, 8)


def test_the_perceptual_distance_is_its_formula():
    torch.manual_seed(0)
    loss = PerceptualLoss()
    first, second = torch.rand(2, 3, 24, 24) * 2 - 1, torch.rand(2, 3, 24, 24) * 2 - 1
    found = []
    whole = network()
    for picture in (first, second):
        shown = ((picture + 1) / 2 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
        hidden, layers = whole._swish(whole._bn0(whole._conv_stem(shown))), []
        for number, block in enumerate(whole._blocks[: BLOCKS[-1] + 1]):
            hidden = block(hidden)
            if number in BLOCKS:
                layers.append(hidden / hidden.norm(dim=1, keepdim=True))
        found.append(layers)
    wanted = torch.stack([(a - b).square().sum(1).mean() for a, b in zip(*found, strict=True)]).mean()
    torch.testing.assert_close(loss(first, second), wanted, rtol=1e-4, atol=1e-5)
    assert float(loss(first, first)) == 0


def test_the_perceptual_distance_sees_more_in_a_changed_shape_than_in_a_changed_brightness():
    loss = PerceptualLoss()
    square = -torch.ones(1, 3, 32, 32)
    square[:, :, 8:24, 8:24] = 1
    bar = -torch.ones(1, 3, 32, 32)
    bar[:, :, 12:20, :] = 1
    assert (square - bar).square().mean() == (square - square.flip(0)).square().mean() + (square - bar).square().mean()
    darker = square - 0.1
    assert float(loss(bar, square)) > 3 * float(loss(darker, square))
    given = bar.clone().requires_grad_()
    loss(given, square).backward()
    assert given.grad.isfinite().all()
    assert given.grad.abs().sum() > 0
    assert not any(weight.requires_grad for weight in loss.parameters())
