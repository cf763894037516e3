"""The critic of an adversarial loss: told apart patch by patch, are these real pictures or reconstructions?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

LARGEST = 1e4
"""The adaptive weight is cut here: a critic that tells nothing apart has no gradient to compare with."""


class PatchCritic(nn.Module):
    """A few strided convolutions; each place of the result judges the patch of pixels that it sees.

    Shapes:
        `(N, C, height, width)` in [-1, 1] to `(N, 1, height / 4, width / 4)`, high for real.

    Args:
        channels: Colour channels C.
        width: Channels of the first layer, doubled by the second.

    Reference:
        Isola et al., Image-to-Image Translation with Conditional Adversarial Networks, 2017 (arXiv 1611.07004).
    """

    def __init__(self, channels: int = 3, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.GroupNorm(8, 2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.GroupNorm(8, 2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 3, padding=1),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """Return how real each patch looks."""
        return self.layers(pictures)


class Adversary:
    r"""A critic with its own optimiser, kept outside the model: it is saved in checkpoints and nowhere else.

    \[ L_D = \tfrac12 \mathrm{E}[\max(0, 1 - D(x))] + \tfrac12 \mathrm{E}[\max(0, 1 + D(\hat x))], \qquad
       L_G = -\mathrm{E}[D(\hat x)], \qquad
       \lambda = \frac{\lVert \nabla_w L_\mathrm{rec} \rVert}{\lVert \nabla_w L_G \rVert + \epsilon} \]

    with w the weights of the decoder's last layer: \(\lambda L_G\) then pulls at them as hard as the reconstruction.

    Args:
        channels: Colour channels of the pictures.

    Reference:
        Esser et al., Taming Transformers for High-Resolution Image Synthesis, 2021 (arXiv 2012.09841).
    """

    def __init__(self, channels: int) -> None:
        self.critic = PatchCritic(channels)
        # the betas that adversarial training is usually given: a long memory of gradients would chase an old opponent
        self.optimizer = torch.optim.AdamW(self.critic.parameters(), betas=(0.5, 0.9), weight_decay=0.0)

    def to(self, device: torch.device) -> None:
        """Move to a device; the state of the optimiser follows."""
        if next(self.critic.parameters()).device != device:
            self.critic.to(device)
            self.optimizer.load_state_dict(self.optimizer.state_dict())

    def learn(self, given: Tensor, true: Tensor, learning_rate: float) -> Tensor:
        """Take one step of the critic and return its loss.

        Must come before `judge` on the same pictures: it changes weights that `judge` needs for its gradient.
        """
        self.critic.requires_grad_(True)
        loss = hinge(self.critic(true), self.critic(given.detach()))
        self.optimizer.zero_grad()
        loss.backward()
        if distributed.is_available() and distributed.is_initialized():
            for parameter in self.critic.parameters():
                assert parameter.grad is not None
                distributed.all_reduce(parameter.grad)
                parameter.grad /= distributed.get_world_size()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        return loss.detach()

    def judge(self, given: Tensor) -> Tensor:
        """Return the loss of reconstructions that look unreal; gradients flow to them only."""
        self.critic.requires_grad_(False)
        return -self.critic(given).mean()

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        return {"critic": self.critic.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the state of the run that is resumed."""
        self.critic.load_state_dict(state["critic"])
        self.optimizer.load_state_dict(state["optimizer"])


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """Return the critic's hinge loss of its judgements."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


def balance(reconstruction: Tensor, adversarial: Tensor, last_layer: Tensor) -> Tensor:
    """Return the weight that makes both losses pull equally at the decoder's last layer."""
    ours, theirs = (
        torch.autograd.grad(loss, last_layer, retain_graph=True)[0].norm() for loss in (reconstruction, adversarial)
    )
    return (ours / (theirs + 1e-6)).clamp(0, LARGEST).detach()
