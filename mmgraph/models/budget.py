"""Training for so many CPU seconds: what arms of one study have in common when their steps cost differently."""

from __future__ import annotations

import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from mmgraph.errors import UsageError


class TrainingClock:
    """CPU seconds of this process (all threads) while it runs; validation holds it.

    Args:
        used: Seconds on it at first.
    """

    def __init__(self, used: float = 0.0) -> None:
        self._used = used
        self._since: float | None = None
        self._held = False

    def start(self) -> None:
        """Let it run."""
        if self._since is None:
            self._since = time.process_time()
        self._held = False

    def hold(self) -> None:
        """Stop it for a while, if it runs."""
        self._held = self._since is not None
        self._used, self._since = self.used, None

    def go_on(self) -> None:
        """Let it run again, if it did before."""
        if self._held:
            self.start()

    @property
    def used(self) -> float:
        """Seconds so far."""
        return self._used if self._since is None else self._used + time.process_time() - self._since


class CPUBudget(Callback):
    r"""Stops training once it has used so many CPU seconds, and lets the learning rate decay over them.

    At step s, with the fraction f of the budget used, the schedule plans with \( T = s / f \) steps: at an even
    pace the same curve as under a budget of T steps, and zero when the budget ends whatever the pace.
    Validation is not counted, for how much of it there is should not decide how long an arm trains.

    Args:
        seconds: The budget.

    Raises:
        UsageError: If it is not positive.
    """

    def __init__(self, seconds: float) -> None:
        if not seconds > 0:
            raise UsageError(f"a budget must be more than 0 CPU seconds, not {seconds}.")
        self.seconds = seconds
        self.clock = TrainingClock()
        self._fraction = 0.0

    @property
    def fraction(self) -> float:
        """Share of the budget that was used when the last step ended."""
        return self._fraction

    def planned_steps(self, step: int) -> float:
        """Return how many steps the budget will have lasted, judged by the first `step` ones."""
        return step / self._fraction if self._fraction > 0 else float("inf")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock, or stop at once if a resumed run has nothing left."""
        self.clock.start()
        if self._fraction >= 1:
            _stop(trainer)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *rest: Any) -> None:
        """Stop after this step if the budget is used up; the first process decides for all."""
        fraction = self.clock.used / self.seconds
        self._fraction = trainer.strategy.broadcast(fraction) if trainer.world_size > 1 else fraction
        if self._fraction >= 1 and not trainer.fit_loop.epoch_loop._should_accumulate():
            _stop(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hold the clock."""
        self.clock.hold()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let it go on."""
        self.clock.go_on()

    def state_dict(self) -> dict[str, Any]:
        """Return what has been used, so that a resumed run has the rest."""
        return {"used": self.clock.used, "fraction": self._fraction}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what the run that is resumed had used; another budget than it had counts from there."""
        self.clock = TrainingClock(float(state_dict["used"]))
        self._fraction = self.clock.used / self.seconds


def cpu_budget(module: Any) -> CPUBudget | None:
    """Return the CPU budget under which a module is trained, or None."""
    trainer = getattr(module, "_trainer", None)
    for callback in getattr(trainer, "callbacks", ()):
        if isinstance(callback, CPUBudget):
            return callback
    return None


def _stop(trainer: Trainer) -> None:
    # min_epochs (1 by default) would keep the loop going
    trainer.fit_loop.min_epochs = 0
    trainer.fit_loop.epoch_loop.min_steps = None
    trainer.should_stop = True
