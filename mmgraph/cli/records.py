"""What a training writes about itself: its resolved configuration, its metrics and its figures."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import platform
import random
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from mmgraph import __version__
from mmgraph.budgets import Budget
from mmgraph.cli.rundir import RECIPE_LINE, RunDirectory, first_process, write_atomically
from mmgraph.models.budget import CPUBudget, TrainingClock
from mmgraph.sequence import Sample


class SaveResolvedConfig(SaveConfigCallback):
    """Writes the resolved configuration to RUNDIR/config.yaml, from where `fit -c` takes it back.

    Args:
        parser: The parser that read it.
        config: The parsed configuration.
        directory: Where the run lives.
        recipe: Name of the recipe.
        command: The command line.
    """

    def __init__(self, parser: Any, config: Any, *, directory: RunDirectory, recipe: str, command: str) -> None:
        super().__init__(parser, config, save_to_log_dir=False)
        self.directory = directory
        self.recipe = recipe
        self.command = command

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the file, on the first process only."""
        if stage != "fit":
            return
        body = self.parser.dump(self.config, skip_none=False)
        body = "\n".join(line for line in body.splitlines() if not line.startswith("#"))
        versions = f"mmgraph {__version__}, torch {torch.__version__}, Python {platform.python_version()}"
        head = f"{RECIPE_LINE}{self.recipe}\n# command: {self.command}\n# versions: {versions}\n"
        write_atomically(self.directory.config, head + body + "\n")


class Reseed(Callback):
    """Seeds the global random generators anew before each batch from (seed, batch, process).

    Dropout and whatever else draws from them is then the same in a resumed run.

    Args:
        seed: Seed of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Seed Python and torch."""
        number = trainer.fit_loop.epoch_loop.total_batch_idx * trainer.world_size + trainer.global_rank
        mixed = (self.seed * 0x9E3779B97F4A7C15 + (number + 1) * 0xBF58476D1CE4E5B9) % 2**63
        random.seed(mixed)
        # torch.manual_seed also queues a call for devices that are not in use, at each of its calls
        torch.default_generator.manual_seed(mixed)
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed(mixed)


class RunLogger(CSVLogger):
    """Lightning's CSV logger, writing RUNDIR/logs/metrics.csv and going on with it after a resume.

    Args:
        directory: Where the run lives.
    """

    def __init__(self, directory: RunDirectory) -> None:
        super().__init__(directory.path, name="logs", version="")

    @property
    def experiment(self) -> Any:
        """The writer; on processes other than the first nothing is written."""
        if not first_process():
            return super().experiment
        if self._experiment is None:
            self._experiment = _Writer(log_dir=self.log_dir)
        return self._experiment

    @rank_zero_only
    def log_hyperparams(self, params: Any = None) -> None:
        """Write nothing: config.yaml has them."""

    @rank_zero_only
    def save(self) -> None:
        """Write the rows; what a full disk refuses is kept for the next time."""
        with contextlib.suppress(OSError):
            super().save()

    @rank_zero_only
    def drop_from(self, step: int) -> None:
        """Drop rows of steps that the resumed run will do again."""
        self.experiment.drop_from(step)


class _Writer(ExperimentWriter):
    def _check_log_dir_exists(self) -> None:
        """Keep the file that is there, where Lightning would delete it."""
        path = Path(self.metrics_file_path)
        if path.is_file():
            with path.open(newline="") as file:
                self.metrics_keys = list(csv.DictReader(file).fieldnames or [])

    def drop_from(self, step: int) -> None:
        path = Path(self.metrics_file_path)
        if not path.is_file():
            return
        with path.open(newline="") as file:
            kept = [row for row in csv.DictReader(file) if int(row["step"] or 0) < step]
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=self.metrics_keys)
            writer.writeheader()
            writer.writerows(kept)


class TrainingRecord(Callback):
    """Measures the training: RUNDIR/training.json holds the figures that reports show.

    Args:
        directory: Where the run lives.
        recipe: Name of the recipe.
        seed: Seed of the run.
        command: The command line.
    """

    def __init__(self, directory: RunDirectory, *, recipe: str, seed: int, command: str) -> None:
        self.directory = directory
        self.about = {"recipe": recipe, "seed": seed, "command": command}
        self.counts = {"seconds": 0.0, "cpu_seconds": 0.0, "steps": 0, "samples": 0, "tokens": 0}
        self.stream: str | None = None
        self._clock: float | None = None
        self._processor = TrainingClock()
        self._tokens_before = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the counts so far, so that a resumed run adds to them."""
        self._add_time()
        return {**self.counts, "stream": self.stream}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the counts of the run that is resumed."""
        self.counts.update({name: value for name, value in state_dict.items() if name in self.counts})
        self.stream = state_dict.get("stream")
        self._processor = TrainingClock(self.counts["cpu_seconds"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clocks; drop what the logs say beyond the resumed step."""
        self._clock = time.perf_counter()
        self._processor.start()
        self._tokens_before = getattr(pl_module, "tokens_seen", 0)
        if trainer.is_global_zero:
            self._drop_times_from(trainer.global_step + 1)
        for logger in trainer.loggers:
            if isinstance(logger, RunLogger):
                logger.drop_from(trainer.global_step)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Take the fingerprint of the very first batch: runs that are compared must have read the same."""
        if self.stream is None and trainer.global_step == 0:
            self.stream = fingerprint(batch)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hold the clock of the processor."""
        self._processor.hold()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let it go on."""
        self._processor.go_on()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count samples and tokens; note the time as often as the losses are noted."""
        self.counts["samples"] += (len(batch) if hasattr(batch, "__len__") else 0) * trainer.world_size
        tokens = getattr(pl_module, "tokens_seen", 0)
        self.counts["tokens"] += (tokens - self._tokens_before) * trainer.world_size
        self._tokens_before = tokens
        self.counts["steps"] = trainer.global_step
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if trainer.is_global_zero and every and trainer.global_step % every == 0:
            self._note_time(trainer.global_step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write training.json."""
        self._add_time()
        if trainer.is_global_zero:
            self._drop_times_from(trainer.global_step)  # the last step may have been noted already
            self._note_time(trainer.global_step)
            more = {"world_size": trainer.world_size, "budget": _budget(trainer), "stream": self.stream}
            figures = {**self.about, **self.figures(pl_module), **more}
            write_atomically(self.directory.training, json.dumps(figures, indent=2) + "\n")

    def figures(self, pl_module: LightningModule) -> dict[str, Any]:
        """Return the figures so far."""
        seconds = max(self.counts["seconds"], 1e-9)
        parameters = list(pl_module.parameters())
        return {
            "seconds": round(self.counts["seconds"], 3),
            "cpu_seconds": round(self.counts["cpu_seconds"], 3),
            "steps": self.counts["steps"],
            "samples_per_second": round(self.counts["samples"] / seconds, 2),
            "tokens_per_second": round(self.counts["tokens"] / seconds, 2),
            "peak_memory_mb": round(_peak_memory() / 2**20, 1),
            "parameters": sum(parameter.numel() for parameter in parameters),
            "trained_parameters": sum(p.numel() for p in parameters if p.requires_grad),
        }

    def _add_time(self) -> None:
        now = time.perf_counter()
        if self._clock is not None:
            self.counts["seconds"] += now - self._clock
            self.counts["cpu_seconds"] = self._processor.used
            self._clock = now

    def _note_time(self, step: int) -> None:
        """Add a row to logs/clock.csv, apart from the losses: times differ between equal runs, losses do not."""
        self._add_time()
        path = self.directory.times
        line = f"{step},{self.counts['seconds']:.3f},{self.counts['cpu_seconds']:.3f}\n"
        with contextlib.suppress(OSError):  # as with the losses: a full disk does not end a training
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(line if file.tell() else f"step,seconds,cpu_seconds\n{line}")

    def _drop_times_from(self, step: int) -> None:
        path = self.directory.times
        if path.is_file():
            head, *lines = path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if int(line.partition(",")[0]) < step]
            write_atomically(path, "\n".join([head, *kept]) + "\n")


def fingerprint(batch: Any) -> str | None:
    """Return what identifies the samples of a batch: task, number, texts and pictures; None if they are others."""
    if not isinstance(batch, list) or not all(isinstance(sample, Sample) for sample in batch):
        return None
    digest = hashlib.sha256()
    for sample in batch:
        digest.update(f"{sample.task}|{sample.key}".encode())
        for segment in sample.segments:
            content = segment.content
            raw = content.cpu().numpy().tobytes() if isinstance(content, torch.Tensor) else str(content).encode()
            digest.update(f"|{segment.modality}|{segment.target}|".encode() + raw)
    return digest.hexdigest()[:16]


def _budget(trainer: Trainer) -> str | None:
    """Return the budget that ended the training, as `--budget` takes it."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, CPUBudget):
            return str(Budget(cpu_seconds=callback.seconds))
    return str(Budget(steps=trainer.max_steps)) if trainer.max_steps > 0 else None


def _peak_memory() -> int:
    """Return the most bytes held: of the device where there is one, else of this process."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kibibytes if sys.platform == "darwin" else kibibytes * 1024
