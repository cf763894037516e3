"""The line that shows how a training goes: loss, samples per second, time left."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn


class ProgressLine(ProgressBar):
    """A live line on a terminal; elsewhere one plain line every few seconds.

    Args:
        seconds: Time between plain lines.
    """

    def __init__(self, seconds: float = 10.0) -> None:
        super().__init__()
        self.seconds = seconds
        self._progress: Progress | None = None
        self._enabled = True
        self._loss = math.nan

    def disable(self) -> None:
        """Show nothing: called on processes other than the first."""
        self._enabled = False

    def enable(self) -> None:
        """Show the line again."""
        self._enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin."""
        self._began = (time.monotonic(), trainer.global_step)
        self._shown_at = self._began[0]
        self._samples = 0
        self._total = _planned_steps(trainer)
        if self._enabled and sys.stderr.isatty():
            self._progress = Progress(
                TextColumn("[bold]{task.description}"),
                BarColumn(bar_width=30),
                TextColumn("{task.fields[words]}"),
                console=Console(file=sys.stderr),
                transient=False,
                refresh_per_second=4,
            )
            self._task = self._progress.add_task("training", total=self._total, completed=trainer.global_step, words="")
            self._progress.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move on."""
        if not self._enabled:
            return
        self._samples += (len(batch) if hasattr(batch, "__len__") else 0) * trainer.world_size
        now = time.monotonic()
        # reading the loss waits for the device, so it is done as often as one can look
        if now - self._shown_at < (0.25 if self._progress else self.seconds):
            return
        self._shown_at = now
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if loss is not None:
            value = float(loss)
            self._loss = value if math.isnan(self._loss) else 0.8 * self._loss + 0.2 * value
        self._show(trainer, now)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the end."""
        if self._enabled:
            self._show(trainer, time.monotonic())
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the terminal as it was."""
        self._close()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the terminal as it was."""
        self._close()

    def _show(self, trainer: Trainer, now: float) -> None:
        words = self.words(trainer.global_step, now - self._began[0])
        if self._progress is not None:
            self._progress.update(self._task, completed=trainer.global_step, words=words)
        else:
            print(f"training: {words}", file=sys.stderr, flush=True)

    def words(self, step: int, seconds: float) -> str:
        """Return step, loss, speed and time left, in words."""
        total = f"/{self._total}" if self._total is not None else ""
        parts = [f"step {step}{total}"]
        if not math.isnan(self._loss):
            parts.append(f"loss {self._loss:.4f}")
        if seconds > 0:
            parts.append(f"{self._samples / seconds:.0f} samples/s")
        done = step - self._began[1]
        if self._total is not None and done > 0:
            parts.append(f"{_duration(seconds / done * max(0, self._total - step))} left")
        return ", ".join(parts)

    def _close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def _planned_steps(trainer: Trainer) -> int | None:
    planned = trainer.estimated_stepping_batches
    return int(planned) if math.isfinite(planned) else None


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
