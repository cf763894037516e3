"""Rows: what a study keeps of each run, one JSON object a line, written whole or not at all."""

from __future__ import annotations

import csv
import datetime
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mmgraph
from mmgraph.errors import RunError
from mmgraph.evaluation import curves, files, items, schema
from mmgraph.evaluation.studies import measures
from mmgraph.evaluation.studies.plan import Cell, Study

POINTS = 24
"""Points of a learning curve that a row keeps."""
FIGURES = (
    *("seconds", "cpu_seconds", "steps", "samples_per_second", "tokens_per_second", "peak_memory_mb"),
    *("parameters", "trained_parameters", "active_parameters", "visual_tokens", "budget", "stream"),
)
SCHEMA = 2
"""Raised whenever rows keep more: a finished run's row is then read anew from its metrics.json."""

Row = dict[str, Any]


def read(path: Path) -> list[Row]:
    """Return the rows of a file, the last one of each cell, in the order of their first.

    Raises:
        RunError: If a line is damaged.
    """
    found: dict[tuple[Any, ...], Row] = {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            found[key(row)] = row
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(
                f"{path}, line {number} is damaged ({error}); remove the line to run that cell again."
            ) from error
    return list(found.values())


def key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what tells a row's cell apart."""
    return row["arm"], tuple(row["factors"].items()), row["seed"]


def put(path: Path, row: Row) -> None:
    """Add a row, in the place of an earlier one of the same cell."""
    rows = {key(known): known for known in read(path)}
    rows[key(row)] = row
    write(path, list(rows.values()))


def write(path: Path, rows: Sequence[Row]) -> None:
    """Write all rows in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def done(study: Study, cell: Cell, run: Path, commands: Sequence[str]) -> Row:
    """Return the row of a run that has been evaluated."""
    metrics = schema.read(run / files.METRICS)
    headline = measures.headline(metrics)
    paths = study.measures or tuple(headline)
    known = items.read(run)
    return {
        **_about(study, cell, commands),
        "status": "done",
        "measures": {path: measures.lookup(metrics, path) for path in paths},
        "headline": {path: measures.lookup(metrics, path) for path in headline if path not in paths},
        "data": {"dataset": metrics["data"]["dataset"], **{name: metrics[name] for name in ("protocol", "split")}},
        "training": {name: metrics["training"].get(name) for name in FIGURES},
        "evaluation": metrics["evaluation"],
        "versions": metrics["versions"],
        "hardware": metrics["hardware"],
        "items": {path: pack(known[path]) for path in paths if path in known},
        "curves": learning_curves(run),
    }


def failed(study: Study, cell: Cell, message: str, commands: Sequence[str]) -> Row:
    """Return the row of a run that ended without a result."""
    return {**_about(study, cell, commands), "status": "failed", "message": message, "measures": {}}


def _about(study: Study, cell: Cell, commands: Sequence[str]) -> Row:
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "schema": SCHEMA,
        "study": study.name,
        "arm": cell.arm,
        "sources": list(study.arm(cell.arm).sources),
        "changes": study.overrides(cell),
        "evaluate": study.evaluation(cell),
        "threads": study.threads,
        "factors": dict(cell.levels),
        "seed": cell.seed,
        "plan": study.digest(cell),
        "budget": str(study.budget),
        "date": now,
        "command": list(commands),
        "commit": commit(),
    }


def commit() -> dict[str, Any] | None:
    """Return the revision of mmgraph's sources and whether they differ from it; None outside a repository."""
    source = Path(mmgraph.__file__)

    def git(*arguments: str) -> str | None:
        try:
            ran = subprocess.run(
                ["git", "-C", str(source.parent), *arguments], capture_output=True, text=True, timeout=30, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return ran.stdout.strip() if ran.returncode == 0 else None

    if git("ls-files", "--error-unmatch", source.name) is None:  # somebody else's repository around an installation
        return None
    revision = git("rev-parse", "HEAD")
    changes = git("status", "--porcelain", "--untracked-files=no")
    return {"revision": revision, "dirty": bool(changes)} if revision else None


def pack(known: items.Items) -> dict[str, Any]:
    """Return items in short: right-or-wrong ones as a string of digits, clusters only where items share one."""
    packed: dict[str, Any] = {"digest": known["digest"]}
    if len(set(known["clusters"])) < len(known["clusters"]):
        packed["clusters"] = known["clusters"]
    values = known["values"]
    binary = all(value in (0.0, 1.0) for value in values)
    packed["values"] = "".join(str(int(value)) for value in values) if binary else values
    return packed


def unpack(packed: Mapping[str, Any]) -> items.Items:
    """Return items as they were before `pack`."""
    values = [float(value) for value in packed["values"]]
    return {
        "digest": packed["digest"],
        "clusters": packed.get("clusters") or list(range(len(values))),
        "values": values,
    }


def learning_curves(run: Path) -> dict[str, list[list[float]]]:
    """Return name -> points [steps, CPU seconds, loss] of a run: held-out losses where they were taken."""
    logged = curves.read(run / "logs" / "metrics.csv")
    times = _times(run / "logs" / "clock.csv")
    held_out = {name: curve for name, curve in logged.items() if name.startswith("val_")}
    if not any(len(steps) >= 3 for steps, _ in held_out.values()):
        held_out = {name: curve for name, curve in logged.items() if name == "train_loss"} or dict(
            list(logged.items())[:1]
        )
    found = {}
    for name, (steps, values) in held_out.items():
        shown = values if name.startswith("val_") else curves.smooth(values)
        count = min(POINTS, len(steps))
        places = sorted({round(k * (len(steps) - 1) / max(1, count - 1)) for k in range(count)})
        found[name] = [
            [steps[place] + 1, round(_time_at(times, steps[place] + 1), 2), float(f"{shown[place]:.5g}")]
            for place in places
        ]
    return found


def _times(path: Path) -> list[tuple[float, float]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [(float(row["step"]), float(row["cpu_seconds"])) for row in csv.DictReader(file)]


def _time_at(times: Sequence[tuple[float, float]], step: float) -> float:
    """Return the CPU seconds after a step, on the line between the times that were noted."""
    before = (0.0, 0.0)
    for noted in times:
        if noted[0] >= step:
            share = (step - before[0]) / max(1e-9, noted[0] - before[0])
            return before[1] + share * (noted[1] - before[1])
        before = noted
    return before[1]
