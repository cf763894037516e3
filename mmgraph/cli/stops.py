"""What ends a training early: the user's Ctrl-C, the system's SIGTERM, and a loss that is no number."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from mmgraph.cli.checkpoints import between_steps
from mmgraph.errors import RunError


class StopOnSignal(Callback):
    """Finishes the running step on Ctrl-C or SIGTERM, so that a checkpoint can follow.

    A second signal stops at once.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals over; Lightning's own handlers would lose the step."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in self.SIGNALS}

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *rest: Any) -> None:
        """Stop after this step if a signal came; all processes stop at the same one."""
        stop = self.received is not None
        if trainer.world_size > 1:
            stop = trainer.strategy.reduce_boolean_decision(stop, all=False)
        if stop and between_steps(trainer):
            self.received = self.received or signal.SIGINT
            # min_epochs (1 by default) would keep the loop going
            trainer.fit_loop.min_epochs = 0
            trainer.fit_loop.epoch_loop.min_steps = None
            trainer.should_stop = True

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the signals back."""
        self.teardown(trainer, pl_module, "fit")

    def _handle(self, number: int, frame: Any) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number
        print(
            "\nmmgraph: finishing this step and writing a checkpoint; once more stops at once.",
            file=sys.stderr,
        )


class StopOnNonFinite(Callback):
    """Stops before a loss that is NaN or infinite reaches the weights, saying where it came from."""

    def __init__(self) -> None:
        self._batch: Any = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Remember the batch, for the message."""
        self._batch = batch

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Check the loss.

        Raises:
            RunError: If it is not finite; names the step, the samples and the parts of the loss.
        """
        if torch.isfinite(loss).all():
            return
        keys = [getattr(sample, "key", None) for sample in self._batch] if isinstance(self._batch, list) else []
        logged = sorted(trainer.callback_metrics.items())
        parts = ", ".join(f"{name} {float(value):.4g}" for name, value in logged) or "none logged"
        raise RunError(
            f"the loss is {float(loss.detach().sum())} at step {trainer.global_step}. "
            f"Samples of the batch (their numbers in the training stream): {keys}. "
            f"Parts of the loss: {parts}. "
            "The last checkpoint from before is kept. Try a lower learning rate or "
            "--trainer.gradient_clip_val 1.0, or look at these samples."
        )
