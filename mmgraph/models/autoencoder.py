"""Trains a visual tokenizer: reconstruct the picture through its tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from mmgraph.configured import Configured
from mmgraph.errors import RunError, UsageError
from mmgraph.models.critic import Adversary, balance
from mmgraph.models.optimization import Optimization
from mmgraph.pictures import to_float
from mmgraph.sequence import Sample
from mmgraph.tokenizers import Tokenizer

ADVERSARY = "adversary"
"""Where a checkpoint keeps the critic."""


class Autoencoder(Configured, lightning.LightningModule):
    r"""A tokenizer and the loss of its reconstructions.

    \[ L = \frac{\lVert \hat x - x \rVert_2^2 + \lambda_1 \lVert \hat x - x \rVert_1}{C S^2} +
       \lambda_p L_\mathrm{perceptual} + \lambda_a \lambda L_G + L_\mathrm{tok} \]

    With both \(\lambda_p\) and \(\lambda_a\) this is VQGAN's loss: features of a frozen network bring texture, a
    critic that is trained beside (`mmgraph.models.critic`) brings sharpness, weighed by \(\lambda\), the ratio of
    the gradients at the decoder's last layer. Held-out losses leave the critic out: it differs from run to run.

    Args:
        tokenizer: What is trained; it must have weights.
        absolute_weight: The weight of the absolute error, which keeps edges sharp.
        perceptual_weight: The weight of the distance in features; 0: none.
        adversarial_weight: The weight of the critic's judgement; 0: none.
        adversarial_start: Step from which the critic is trained and heard; there must be something to judge.
        optimization: Optimiser and schedule; the critic's learning rate is the same.

    Raises:
        UsageError: If the tokenizer has nothing to train, or a weight is negative.

    Reference:
        Esser et al., Taming Transformers for High-Resolution Image Synthesis, 2021 (arXiv 2012.09841).
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        absolute_weight: float = 1.0,
        perceptual_weight: float = 0.0,
        adversarial_weight: float = 0.0,
        adversarial_start: int = 200,
        optimization: Optimization = Optimization(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__()
        weights = {"absolute": absolute_weight, "perceptual": perceptual_weight, "adversarial": adversarial_weight}
        for name, weight in weights.items():
            if weight < 0:
                raise UsageError(f"{name}_weight must be 0 or more, not {weight}.")
        self.tokenizers = nn.ModuleDict({"image": tokenizer})  # the part's name in every model
        self.absolute_weight = absolute_weight
        self.perceptual_weight = perceptual_weight
        self.adversarial_weight = adversarial_weight
        self.adversarial_start = adversarial_start
        self.optimization = optimization
        # in tuples: neither is a part of the model, to be averaged, optimised or saved with it
        self._perceptual: tuple[nn.Module, ...] = ()
        self._adversary: tuple[Adversary, ...] = ()
        if adversarial_weight:
            _ = tokenizer.last_layer  # refuse before training
            self._adversary = (Adversary(getattr(tokenizer, "channels", 3)),)

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that is trained."""
        return self.tokenizers["image"]  # type: ignore[return-value]

    def training_step(self, batch: list[Sample], batch_idx: int) -> Tensor:
        """Return the loss on the pictures of a batch; the critic takes its step before."""
        true = to_float(self._pictures(batch))
        given, losses = self._losses(true, "train")
        loss = losses["squared_error"] + losses["rest"]
        if self._adversary and self.global_step >= self.adversarial_start:
            loss = loss + self._adversarial(given, true, losses)
        self.log("train_loss", loss.detach(), prog_bar=True, batch_size=len(batch))
        return loss

    def validation_step(self, batch: list[Sample], batch_idx: int) -> Tensor:
        """Return the loss on held-out pictures."""
        return self._held_out(batch, "val")

    def test_step(self, batch: list[Sample], batch_idx: int) -> Tensor:
        """Return the loss on test pictures."""
        return self._held_out(batch, "test")

    def predict_step(self, batch: list[Sample], batch_idx: int) -> Tensor:
        """Return uint8 reconstructions."""
        return self.tokenizer.decode(self.tokenizer.encode(self._pictures(batch)))

    def _held_out(self, batch: list[Sample], stage: str) -> Tensor:
        _, losses = self._losses(to_float(self._pictures(batch)), stage)
        loss = losses["squared_error"] + losses["rest"]
        self.log(f"{stage}_loss", loss.detach(), prog_bar=True, batch_size=len(batch))
        return loss
