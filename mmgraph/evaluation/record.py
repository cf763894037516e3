"""What metrics.json says about a run besides its scores: training figures, data, tokenizers, machine."""

from __future__ import annotations

import csv
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from mmgraph.datasets import Dataset, Split
from mmgraph.errors import RunError
from mmgraph.evaluation import autoencoding, machine, requested, schema
from mmgraph.evaluation.curves import number
from mmgraph.metrics import PictureMetric, TextMetric
from mmgraph.models.sizes import active_parameters

RECIPE_LINE = "# recipe: "
FIGURES = ("seconds", "cpu_seconds", "steps", "samples_per_second", "tokens_per_second", "peak_memory_mb")
_STREAM_OPTIONS = ("batch_size", "tasks", "protocol", "seed", "steps_per_epoch", "cache_dir")


def about(
    run: Path, config: Mapping[str, Any], dataset: Dataset, model: Any, *, split: Split, command: str | None
) -> dict[str, Any]:
    """Return what identifies a run and how it was trained.

    Raises:
        RunError: If training.json is damaged.
    """
    figures = recorded(run / "training.json")
    return {
        "schema": schema.SCHEMA,
        "recipe": str(figures.get("recipe") or recipe_of(run)),
        "seed": figures.get("seed", config.get("seed_everything")),
        "protocol": dataset.protocol,
        "split": split,
        "command": command if command is not None else shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "versions": machine.versions(),
        "hardware": machine.hardware(getattr(model, "device", "cpu")),
        "training": {**_training(figures, model), "logged": logged(run / "logs" / "metrics.csv")},
        "tokenizers": _tokenizers(model),
    }


def data(
    config: Mapping[str, Any],
    dataset: Dataset,
    split: Split,
    material: Sequence[Mapping[str, Sequence[Any]]],
    *,
    compared: int,
) -> dict[str, Any]:
    """Return what the data are: which pictures, how many, of which size."""
    examples = [example for known in material for population in known.values() for example in population[:1]]
    splits: tuple[Split, ...] = ("train", split)
    return {
        "dataset": type(dataset).__name__,
        "description": dataset.description or _options(config),
        "credits": dataset.credits,
        "pictures": {name: len(dataset.items(name)) for name in splits},
        "size": list(examples[0].picture.shape[1:]) if examples else None,
        "compared": compared,
    }


def legend(
    metrics: Sequence[PictureMetric | TextMetric], *tables: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return what each score of the tables means, in the metrics' order."""
    meanings = {name: meaning for metric in metrics for name, meaning in metric.meanings.items()}
    used = {name for table in tables for scores in table.values() for name in scores}
    meanings = {**meanings, **requested.MEANINGS, **autoencoding.meanings(sorted(used))}
    return {name: asdict(meaning) for name, meaning in meanings.items() if name in used}


def recorded(path: Path) -> dict[str, Any]:
    """Return what training.json holds; nothing if there is none.

    Raises:
        RunError: If it is damaged.
    """
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise RunError(
            f"{path} is damaged ({error}); remove it to evaluate without the figures of the training."
        ) from error


def logged(path: Path) -> dict[str, float]:
    """Return the mean of each column of a log over the second half of its steps; nothing if there is no log.

    Losses are among them, and what blocks and callbacks tell: how a router divides, how far gradients agree.
    """
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = [{name: number(text) for name, text in row.items() if name} for row in csv.DictReader(file)]
    last = max((row.get("step") or 0 for row in rows), default=0)
    found: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            if value is not None and name not in ("epoch", "step") and (row.get("step") or 0) >= last / 2:
                found.setdefault(name, []).append(value)
    return {name: fmean(values) for name, values in sorted(found.items())}


def recipe_of(run: Path) -> str:
    """Return the recipe that config.yaml names, else that of a run in its default place, RECIPE/SEED."""
    for line in (run / "config.yaml").read_text(encoding="utf-8").splitlines()[:5]:
        if line.startswith(RECIPE_LINE):
            return line.removeprefix(RECIPE_LINE).strip()
    resolved = run.resolve()
    return resolved.parent.name if resolved.name.isdigit() else resolved.name


def _training(recorded: Mapping[str, Any], model: Any) -> dict[str, Any]:
    figures = {name: recorded.get(name) for name in FIGURES}
    parameters = recorded.get("parameters") or sum(parameter.numel() for parameter in model.parameters())
    figures["parameters"] = parameters
    figures["trained_parameters"] = recorded.get("trained_parameters")
    figures["active_parameters"] = active_parameters(model)
    figures["visual_tokens"] = visual_tokens(model)
    return {**figures, **{name: recorded.get(name) for name in ("command", "budget", "stream")}}


def visual_tokens(model: Any) -> int | None:
    """Return how many positions the body reads of one picture, after the connector; None without pictures."""
    processor = getattr(model, "processor", None)
    if processor is None:  # an autoencoder, or two towers
        own = getattr(model, "tokenizers", {}).values()
        return next((one.num_tokens for one in own if one.modality == "image"), None)
    spans = [span for span in processor.templates() if span.modality == "image"]
    read = [span for span in spans if span.role == "context" and span.source == "item"] or spans
    if not read:
        return None
    tokens = int(model.tokenizers[read[0].tokenizer].num_tokens)
    return tokens if read[0].connector is None else int(model.connectors[read[0].connector].num_tokens(tokens))


def _tokenizers(model: Any) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "type": type(tokenizer).__name__,
            "modality": tokenizer.modality,
            "discrete": tokenizer.discrete,
            "tokens": tokenizer.num_tokens if tokenizer.modality != "text" else None,
        }
        for name, tokenizer in getattr(model, "tokenizers", {}).items()
    ]


def _options(config: Mapping[str, Any]) -> str:
    """Return the options of a data set that does not describe itself."""
    options = config["data"].get("init_args") or {}
    told = [f"{name} {value}" for name, value in options.items() if name not in _STREAM_OPTIONS and value is not None]
    return ", ".join(told)
