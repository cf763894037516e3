"""A model as a folder: `config.yaml` says how to build it, `model.safetensors` holds its tensors.

Nothing in the folder can run code: the configuration imports only what the allowlist permits, and
safetensors are plain numbers.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from mmgraph import zoo
from mmgraph.configured import config_of, instantiate
from mmgraph.errors import RunError, UsageError

CONFIG = "config.yaml"
WEIGHTS = "model.safetensors"


def save(model: Any, folder: str | Path, *, half: bool = False) -> Path:
    """Write a model's folder; an interrupted save leaves the previous one whole.

    Args:
        model: A model of `mmgraph.models`.
        folder: Where; replaced if it exists.
        half: Store floating-point tensors in half precision.
    """
    folder = Path(folder)
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    if half:
        state = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            config = _self_contained(config_of(model))
            text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
            (fresh / CONFIG).write_text(text, encoding="utf-8")
            save_file(state, fresh / WEIGHTS)
            os.chmod(fresh, 0o755)
            _put(fresh, folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    except OSError as error:
        raise RunError(
            f"the model could not be saved in {folder}: {error}. What was there before is unchanged."
        ) from error
    return folder


def _self_contained(config: Any) -> Any:
    """Return a configuration whose parts load no weights of other runs: the tensors beside it hold them."""
    if isinstance(config, dict):
        return {
            name: [] if name == "start_from" else "none" if name == "weights" and isinstance(value, str)
            else _self_contained(value)
            for name, value in config.items()
        }
    return [_self_contained(value) for value in config] if isinstance(config, list) else config


def _put(fresh: Path, folder: Path) -> None:
    """Move a finished folder to its place; if that fails, what was there comes back."""
    if not folder.exists():
        os.rename(fresh, folder)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        os.rename(folder, aside / "old")
        os.rename(fresh, folder)
    except BaseException:
        if not folder.exists():
            os.rename(aside / "old", folder)
        raise
    finally:
        if folder.exists():
            shutil.rmtree(aside, ignore_errors=True)


def resolve(reference: str | Path) -> Path:
    """Return the folder of `zoo:NAME`, `run:DIR`, a run directory or a model folder.

    Raises:
        UsageError: If there is no model there.
    """
    text = str(reference)
    if text.startswith("zoo:"):
        return zoo.find(text.removeprefix("zoo:"))
    folder = Path(text.removeprefix("run:"))
    for candidate in (folder / "model", folder):
        if (candidate / WEIGHTS).is_file() and (candidate / CONFIG).is_file():
            return candidate
    raise UsageError(
        f"there is no trained model in {folder}: expected {CONFIG} and {WEIGHTS} there or in its model/. "
        "Name a run directory, or zoo:NAME."
    )


def state_of(reference: str | Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a saved model, floats in single precision.

    Raises:
        RunError: If the file is damaged.
    """
    path = resolve(reference) / WEIGHTS
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path} is damaged ({error}); train again, or restore it from a copy.") from error
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def part_state(reference: str | Path, part: str) -> dict[str, torch.Tensor]:
    """Return the tensors of one part of a saved model, for example `tokenizers.image`."""
    prefix = part + "."
    state = {name[len(prefix) :]: value for name, value in state_of(reference).items() if name.startswith(prefix)}
    if not state:
        raise UsageError(f"{reference} has no part '{part}'.")
    return state


def load(reference: str | Path) -> Any:
    """Build a saved model and load its tensors; ready for generation.

    Args:
        reference: `zoo:NAME`, `run:DIR`, a run directory or a model folder.

    Raises:
        UsageError: If there is no model there, or its configuration names what may not be imported.
        RunError: If its files are damaged or do not fit together.
    """
    folder = resolve(reference)
    try:
        config = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RunError(f"{folder / CONFIG} is no YAML ({error}); restore it from a copy.") from error
    model = instantiate(config)
    if not isinstance(model, nn.Module):
        raise RunError(f"{folder / CONFIG} describes no model; restore it from a copy.")
    state = state_of(reference)
    try:
        load_tokenizers = getattr(model, "load_tokenizers", None)
        if load_tokenizers is not None:
            load_tokenizers(state)
        model.load_state_dict(state)
    except (RuntimeError, KeyError) as error:
        raise RunError(f"{folder / WEIGHTS} does not fit {folder / CONFIG}: {str(error)[:500]}") from error
    return model.eval()
