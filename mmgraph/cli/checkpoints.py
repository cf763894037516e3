"""checkpoints/last.ckpt: written whole or not at all, read without running anything."""

from __future__ import annotations

import os
import pickle
import sys
import time
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from mmgraph.errors import RunError, UsageError


class SafeCheckpointIO(TorchCheckpointIO):
    """Reads only tensors and plain values; writes beside the old file and then replaces it."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint; the file at `path` stays as it is if anything fails.

        Raises:
            OSError: If the disk is full or the folder cannot be written.
        """
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".partial")
        try:
            with partial.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, target)
        except RuntimeError as error:  # how torch's zip writer reports a full disk
            raise OSError(str(error).splitlines()[0]) from error
        finally:
            partial.unlink(missing_ok=True)

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint, whatever `weights_only` says, without running code from it."""
        return read(Path(path), map_location)


def read(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Return a checkpoint of tensors and plain values.

    Raises:
        UsageError: If there is no such file, or reading it would run code.
        RunError: If it is cut short or no checkpoint.
    """
    if not path.is_file():
        raise UsageError(f"there is no checkpoint {path}.")
    try:
        found = torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        culprit = _culprit(str(error))
        if culprit is None:
            raise _broken(path) from error
        raise UsageError(
            f"the checkpoint {path} is refused: reading it would run {culprit}. Checkpoints made here "
            "hold tensors and plain values only; do not use this file unless you know who made it."
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise _broken(path) from error
    if not isinstance(found, dict) or "state_dict" not in found:
        raise UsageError(f"{path} holds no training state; checkpoints are RUNDIR/checkpoints/last.ckpt.")
    return found


def _culprit(message: str) -> str | None:
    """Return the function that a refused pickle names, or None where the file is merely damaged."""
    for marker in ("Unsupported global: GLOBAL ", "Trying to load unsupported GLOBAL ", "Unsupported class "):
        if marker in message:
            return f"'{message.split(marker)[1].split()[0].rstrip('.')}'"
    return "code" if "Unsupported operand" in message or "unsupported" in message.lower() else None


def _broken(path: Path) -> RunError:
    return RunError(
        f"the checkpoint {path} is damaged or cut short. Delete it and train again with --overwrite, or give "
        "another one by --ckpt_path FILE."
    )


class LastCheckpoint(Checkpoint):
    """Writes `last.ckpt` every few seconds of training, and when training stops.

    A write that fails (a full disk) is told once and tried again at the next turn; training goes on.

    Args:
        path: The file.
        seconds: Least time between two writes.
    """

    def __init__(self, path: Path, seconds: float = 10.0) -> None:
        self.path = path
        self.seconds = seconds
        self.failure: OSError | None = None
        self._written_at = 0.0
        self._verified = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._written_at = time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *rest: Any) -> None:
        """Write if it is time, or if this was the last step."""
        if not between_steps(trainer):
            return
        last = trainer.should_stop or _out_of_steps(trainer)
        due = last or time.monotonic() - self._written_at >= self.seconds
        if trainer.world_size > 1:  # writing is collective, and clocks differ
            due = trainer.strategy.broadcast(due)
        if due:
            self.write(trainer)

    def write(self, trainer: Trainer) -> None:
        """Write the checkpoint now."""
        try:
            for logger in trainer.loggers:
                logger.save()
            trainer.save_checkpoint(self.path, weights_only=False)  # with the optimiser's state
        except OSError as error:
            if self.failure is None:
                print(f"\nmmgraph: {self._failed(error)} Training goes on.", file=sys.stderr)
            self.failure = error
        else:
            self.failure = None
            self._verify(trainer)
        self._written_at = time.monotonic()

    def finish(self) -> None:
        """Report a last write that failed.

        Raises:
            RunError: If the file does not hold the end of the training.
        """
        if self.failure is not None:
            raise RunError(self._failed(self.failure))

    def _failed(self, error: OSError) -> str:
        kept = "the one before is kept" if self.path.exists() else "there is none yet"
        return f"the checkpoint {self.path} could not be written ({error}); {kept}. Free some space."

    def _verify(self, trainer: Trainer) -> None:
        """Read the first file back: state that only code can restore must not surprise at resume."""
        if self._verified or not trainer.is_global_zero:
            return
        self._verified = True
        try:
            read(self.path)
        except UsageError as error:
            raise RunError(
                f"this run could not be resumed: {error} Some part keeps objects in its state; keep tensors, "
                "numbers, strings, lists and dictionaries."
            ) from error


def between_steps(trainer: Trainer) -> bool:
    """Whether the optimiser has just stepped: gradients that are still adding up are in no checkpoint."""
    return not trainer.fit_loop.epoch_loop._should_accumulate()


def _out_of_steps(trainer: Trainer) -> bool:
    """Whether no step follows this one."""
    if 0 <= trainer.max_steps <= trainer.global_step:
        return True
    epochs = trainer.max_epochs
    last_epoch = epochs is not None and epochs >= 0 and trainer.current_epoch + 1 >= epochs
    return last_epoch and trainer.fit_loop.epoch_loop._num_ready_batches_reached()
