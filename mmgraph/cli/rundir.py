"""The run directory: its default place, who may write into it, and what it is called inside."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from mmgraph.errors import UsageError

CONFIG = "config.yaml"
RECIPE_LINE = "# recipe: "
WRITTEN = (
    "checkpoints",
    "logs",
    "model",
    CONFIG,
    "items.json",
    "metrics.json",
    "report.html",
    "samples.json",
    "samples.png",
    "training.json",
)
"""What commands write into a run directory; nothing else in it is ever removed."""


@dataclass(frozen=True)
class RunDirectory:
    """Where one run keeps its configuration, checkpoints, logs, model and report.

    Args:
        path: The directory; need not exist.
    """

    path: Path

    @property
    def config(self) -> Path:
        """Resolved configuration; `fit -c` takes it back."""
        return self.path / CONFIG

    @property
    def checkpoint(self) -> Path:
        """State of the training, for `--resume`."""
        return self.path / "checkpoints" / "last.ckpt"

    @property
    def model(self) -> Path:
        """The trained model, for `generate`, `ask` and `evaluate`."""
        return self.path / "model"

    @property
    def training(self) -> Path:
        """Figures of the training."""
        return self.path / "training.json"

    @property
    def times(self) -> Path:
        """When each noted step ended, in seconds and CPU seconds."""
        return self.path / "logs" / "clock.csv"

    def claim(self, *, resume: bool, overwrite: bool) -> None:
        """Make the directory ready for a training.

        Raises:
            UsageError: If it holds a run and the user has said neither `--resume` nor `--overwrite`.
        """
        if resume and overwrite:
            raise UsageError("--resume goes on with the run and --overwrite deletes it; give one of the two.")
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"--run {self.path} is a file; name a directory.")
        if overwrite:
            self._clear()
        elif self.checkpoint.exists() and not resume:
            raise UsageError(
                f"{self.path} holds a run already. Go on with it by --resume, replace it by --overwrite, or "
                "name another directory by --run DIR."
            )
        try:
            self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"the run directory {self.path} cannot be made: {error.strerror}.") from error

    def _clear(self) -> None:
        for name in WRITTEN:
            path = self.path / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.exists() or path.is_symlink():
                path.unlink()


def default(recipe: str, seed: int) -> RunDirectory:
    """Return the directory of a run that was given none."""
    return RunDirectory(Path("runs", recipe, str(seed)))


def first_process() -> bool:
    """Whether this is the process that writes: the others of a distributed run carry their rank."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that readers see the old one or the new one, whatever happens in between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def recipe_name(path: Path) -> str:
    """Return the name of a configuration file: its stem, or the recipe that a run's config.yaml came from."""
    if path.name == CONFIG:
        with path.open(encoding="utf-8") as file:
            for line in file:
                if line.startswith(RECIPE_LINE):
                    return line.removeprefix(RECIPE_LINE).strip()
                if not line.startswith("#"):
                    break
        return path.resolve().parent.name
    return path.stem
