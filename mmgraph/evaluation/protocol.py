"""From a run directory to its numbers: the one way in which every trained model is measured.

Trained and unseen concepts are kept apart everywhere, and each number stands beside its baselines.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mmgraph import registry
from mmgraph.configured import instantiate
from mmgraph.datasets import Dataset, Split
from mmgraph.errors import RunError, UsageError
from mmgraph.evaluation import examples, files, items, measuring, nodes, record, requested, schema, showing
from mmgraph.evaluation.examples import Caption, Question
from mmgraph.evaluation.measuring import SAMPLES, Material
from mmgraph.metrics import PictureMetric, TextMetric, installed

REFERENCE = 2000
"""Training pictures that drawings are compared with: features of more would cost more than the drawing."""

Progress = Callable[[str], None]


def evaluate(
    run: str | Path,
    *,
    split: Split = "test",
    limit: int | None = None,
    guidance: float | Mapping[str, float] | None = None,
    num_steps: int | None = None,
    seed: int = 0,
    metrics: Sequence[str] | None = None,
    device: str | None = None,
    command: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure a trained model and write metrics.json, items.json, samples.json, samples.png and report.html.

    Args:
        run: The run directory.
        split: Which held-out split: `test` or `val`.
        limit: At most so many drawings of each population, questions of each kind and held-out losses of each task.
        guidance: Scale of classifier-free guidance; None: the model's default.
        num_steps: Steps of the image head's sampler; None: the model's default.
        seed: Decides the noise that drawings start from, subsets and resamples.
        metrics: Names of metrics; None: every installed one.
        device: Where the model runs; None: where it was loaded.
        command: The command line to record; None: this process's.
        progress: Called with one line at the start of each part.

    Returns:
        What metrics.json holds.

    Raises:
        UsageError: If the directory holds no run, or an option is wrong.
        RunError: If there is nothing to measure, or a file cannot be written.
    """
    from mmgraph import models

    began = time.perf_counter()
    folder = Path(run)
    if split not in ("val", "test"):
        raise UsageError(f"split must be 'val' or 'test', the held-out ones, not '{split}'.")
    if limit is not None and limit < 1:
        raise UsageError(f"limit must be at least 1, not {limit}.")
    tell = progress or (lambda line: None)
    config = read_config(folder)
    tell("loading the model and its data set")
    dataset: Dataset = instantiate(config["data"])
    model = models.load(folder)
    if device is not None:
        model = model.to(device)
    measures, notes = _metrics(metrics)
    of_pictures = [metric for metric in measures if isinstance(metric, PictureMetric)]
    of_texts = [metric for metric in measures if isinstance(metric, TextMetric)]
    captions, asked = _material(dataset, split)
    training = examples.pick(captions["trained"], REFERENCE)[:REFERENCE]
    pictures = len(dataset.items("train"))
    if training and len(training) < pictures:
        notes.append(f"Drawings are compared with {len(training):,} of {pictures:,} training pictures.")

    done = measuring.measure(
        Material(
            model,
            dataset,
            split,
            captions,
            asked,
            training,
            of_pictures,
            of_texts,
            limit,
            guidance,
            num_steps,
            seed,
            tell,
        )
    )
    if nodes.graph_of(dataset) is not None:
        notes.append("Nodes of a graph are scored and drawn with their neighbourhoods; answers stand in section graph.")
    tell("writing the report")
    found = {
        **record.about(folder, config, dataset, model, split=split, command=command),
        "understanding": done.scores["unseen"],
        "understanding_trained": done.scores["trained"],
        "generation": done.generation,
        "reconstruction": done.reconstruction,
        "captioning": done.captioning,
        requested.SECTION: done.requested,
        "losses": {
            task: {name: loss.entry(seed) for name, loss in heads.items()} for task, heads in done.missed.items()
        },
        "graph": nodes.section(done.graph, seed),
        "data": record.data(config, dataset, split, (captions, asked), compared=len(training)),
        "legend": record.legend(
            measures, done.generation, *done.requested.values(), done.reconstruction, done.captioning
        ),
        "evaluation": {
            "seconds": round(time.perf_counter() - began, 2),
            "seed": seed,
            "limit": limit,
            "guidance": guidance,
            "num_steps": num_steps,
        },
        "notes": notes,
    }
    found = _rounded(found)
    schema.check(found)
    files.write(folder / files.METRICS, json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    told_apart = items.collect(done.drawn, done.answers, done.missed, done.graph)
    files.write(folder / items.FILE, json.dumps(told_apart, ensure_ascii=False, allow_nan=False) + "\n")
    shown = showing.choose(done.drawn, done.answers, done.looked)
    files.write(folder / files.EXAMPLES, json.dumps(shown, ensure_ascii=False))
    write_report(folder)
    return found


def write_report(run: str | Path) -> Path:
    """Write samples.png and report.html from the files of a run that has been evaluated.

    Returns:
        The path of report.html.

    Raises:
        RunError: If metrics.json is missing or damaged.
    """
    from mmgraph.evaluation import report, sheet, tables

    folder = Path(run)
    metrics = schema.read(folder / files.METRICS)
    shown = showing.read(folder / files.EXAMPLES)
    if any(shown["drawings"].values()):
        files.write(folder / files.SHEET, sheet.render(shown["drawings"], tables.above(metrics)))
    files.write(folder / files.REPORT, report.render(folder, metrics, shown))
    return folder / files.REPORT


def read_config(run: Path) -> dict[str, Any]:
    """Return the configuration of a run.

    Raises:
        UsageError: If there is none, or it names no data set.
    """
    path = run / "config.yaml"
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{run} is no run directory: it has no config.yaml. Train one with `mmgraph fit`.") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is no YAML: {error}") from error
    if not isinstance(config, dict) or not isinstance(config.get("data"), dict) or "class_path" not in config["data"]:
        raise UsageError(f"{path} names no data set: `data.class_path` is missing.")
    return config


def _metrics(names: Sequence[str] | None) -> tuple[list[PictureMetric | TextMetric], list[str]]:
    """Return the metrics, and a note for each installed one that is broken; one asked for must work."""
    if names is not None:
        return list(installed(names)), []
    working: list[PictureMetric | TextMetric] = []
    notes: list[str] = []
    for name in registry.names("metrics"):
        try:
            working += list(installed([name]))
        except registry.BrokenPluginError as error:
            notes.append(f"Not measured: {error}")
    working.sort(key=lambda metric: not any(meaning.headline for meaning in metric.meanings.values()))
    return working, notes


def _rounded(value: Any) -> Any:
    """Return the metrics with six significant digits: further ones are noise, and hide what is the same."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _material(dataset: Dataset, split: Split) -> tuple[dict[str, list[Caption]], dict[str, list[Question]]]:
    splits: dict[str, Split] = {"trained": "train", "unseen": split}
    captions = {population: examples.captions(dataset, name, SAMPLES) for population, name in splits.items()}
    asked = {population: examples.questions(dataset, name, SAMPLES) for population, name in splits.items()}
    for population, name in splits.items():
        usual = () if nodes.graph_of(dataset) is not None else examples.TASKS  # questions about nodes need no picture
        others = [task for task, weight in dataset.tasks.items() if weight > 0 and task not in usual]
        texts = any(dataset.evaluation(name, task, 1) for task in others)
        if not (captions[population] or asked[population] or texts):
            raise RunError(
                f"{type(dataset).__name__} has nothing to measure in split '{name}' under protocol "
                f"'{dataset.protocol}': no captions, no questions about pictures and no texts for the tasks "
                f"{', '.join(task for task, weight in dataset.tasks.items() if weight > 0)}."
            )
    return captions, asked
