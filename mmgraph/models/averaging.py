"""Exponential moving average of the weights: what is evaluated, saved and drawn with."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor
from torch.optim.swa_utils import AveragedModel


class EMA(WeightAveraging):
    r"""Average the weights over training steps; validation and the final model use the average.

    \[ \bar\theta_n = d_n \bar\theta_{n-1} + (1 - d_n)\,\theta_n, \qquad
       d_n = \min\left(d, \frac{1 + n}{10 + n}\right) \]

    The warm-up forgets the initial weights in runs that are short beside \(1 / (1 - d)\). Checkpoints hold
    both the average (as `state_dict`) and the weights in training, so a resumed run goes on exactly.

    Args:
        decay: Decay d once warmed up.

    Reference:
        Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992 (doi 10.1137/0330046).
    """

    def __init__(self, decay: float = 0.999) -> None:
        super().__init__(use_buffers=False)
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be at least 0 and below 1, not {decay}.")
        self.decay = decay
        self._pairs: tuple[list[Tensor], list[Tensor]] | None = None
        self._trained = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Copy the model once it has all its parameters."""
        if stage != "fit":
            return
        pl_module.configure_model()
        self._average_model = AveragedModel(pl_module, device=self._device or pl_module.device, use_buffers=False)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Pair each average with its weight: the strategy has put the model on its device by now."""
        average = self._average
        average.to(pl_module.device)
        # by what is optimised and not by what needs a gradient now: a later stage may unfreeze more
        groups = [group["params"] for optimizer in trainer.optimizers for group in optimizer.param_groups]
        trained = {id(parameter) for group in groups for parameter in group}
        floating = [
            (mean, weight)
            for mean, weight in zip(average.module.parameters(), pl_module.parameters(), strict=True)
            if weight.is_floating_point() and id(weight) in trained
        ]
        self._pairs = ([mean.detach() for mean, _ in floating], [weight.detach() for _, weight in floating])
        self._trained = True

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *rest: Any) -> None:
        """Take one step of the average after each step of the optimiser."""
        if trainer.global_step <= self._latest_update_step or self._pairs is None:
            return
        done = self._latest_update_step = trainer.global_step
        decay = min(self.decay, done / (9 + done))  # n = done - 1
        if self._pairs[0]:
            torch._foreach_lerp_(*self._pairs, 1 - decay)
        self._average.n_averaged += 1

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Evaluate with the average."""
        self._share_buffers(pl_module)
        super().on_validation_epoch_start(trainer, pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Write both the average and the weights in training."""
        self._share_buffers(pl_module)
        super().on_save_checkpoint(trainer, pl_module, checkpoint)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Restore both; outside training the average alone has been loaded already."""
        if self._average_model is not None:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the average in the model."""
        self._share_buffers(pl_module)
        super().on_train_end(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the average in the model also where a resumed run had no step left to take."""
        if not self._trained and self._average_model is not None:
            self._copy_average_to_current(pl_module)

    @property
    def _average(self) -> AveragedModel:
        assert self._average_model is not None
        return self._average_model

    def _share_buffers(self, pl_module: LightningModule) -> None:
        """Buffers (codebooks, running statistics) are not averaged: the average has the model's own."""
        if self._average_model is not None:
            for kept, current in zip(self._average_model.module.buffers(), pl_module.buffers(), strict=True):
                if kept.shape == current.shape:
                    kept.copy_(current)
                else:  # what is measured when training ends had no shape before
                    kept.data = current.detach().clone()
