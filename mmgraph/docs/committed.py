"""Committed runs of recipes, and the range in which another seed's run is expected.

Two kinds of files in `docs/results/` hold runs: rows of studies (`*.jsonl`, by `mmgraph compare`) and records of single
runs (`*.json`, a copy of `metrics.json`). A row is a run of a recipe where its arm is that recipe and changes nothing.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from mmgraph import recipes
from mmgraph.budgets import parse
from mmgraph.evaluation import files
from mmgraph.evaluation.statistics import Interval
from mmgraph.evaluation.studies import Arm, Study, inference, measures
from mmgraph.evaluation.studies.rows import Row

GOLDEN = "golden.jsonl"
"""Runs of seeds outside the studies, each against the range expected of it."""
ALPHA = 0.05
"""How often a run that is as it should be falls outside one of its ranges."""
BOUNDED = ("understanding", "understanding_trained")
RECALLS = ("recall_at", "oracle_", "codebook_use")


@dataclass(frozen=True)
class Runs:
    """Runs of a recipe that differ in nothing but the seed.

    Args:
        recipe: The recipe's name.
        budget: How long each trained.
        rows: One of each seed.
        study: The study they come from; empty for records of single runs.
    """

    recipe: str
    budget: str
    rows: tuple[Row, ...]
    study: str = ""

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds in their order."""
        return tuple(row["seed"] for row in self.rows)

    @property
    def stale(self) -> bool:
        """Whether the recipe's values have changed since; unknown, so False, of records of single runs."""
        return bool(self.study) and plan(self).digest(plan(self).cells()[0]) != self.rows[0]["plan"]

    @property
    def paths(self) -> list[str]:
        """What every run measured."""
        first = list(_measures(self.rows[0]))
        return [path for path in first if all(_measures(row).get(path) for row in self.rows)]

    def values(self, path: str) -> list[float]:
        """Return a measure of each run."""
        return [float(_measures(row)[path]["value"]) for row in self.rows]

    def about(self, path: str, name: str) -> float | None:
        """Return what stands beside a measure (`n`, `chance`, `majority`), on average; None where nothing does."""
        return _mean([_measures(row)[path].get(name) for row in self.rows])

    def training(self, name: str) -> float | None:
        """Return a figure of the training, on average; None where it was not recorded."""
        return _mean([row["training"].get(name) for row in self.rows])

    @property
    def checked(self) -> list[str]:
        """The measures that another run is held to: all but losses, or the losses where there is nothing else."""
        scores = [path for path in self.paths if not path.startswith("losses.")]
        return scores or self.paths

    def expected(self, path: str) -> Interval | None:
        """Return the range expected of another seed; None for fewer than three seeds.

        With m measures checked, each range holds with probability 1 - ALPHA / m, so that all of them hold together
        with 1 - ALPHA at least. A share of n items varies by one item at least.
        """
        share = path.split(".")[0] in BOUNDED or any(word in path.split(".")[-1] for word in RECALLS)
        items = self.about(path, "n")
        level = 1 - ALPHA / len(self.checked)
        found = inference.prediction_interval(self.values(path), level, least=1 / items if share and items else 0.0)
        return found if found is None or not share else (max(0.0, found[0]), min(1.0, found[1]))


def _measures(row: Row) -> dict[str, Any]:
    """Return every measure of a row, by the shorter of its two names: `losses.ask.text` for `losses.ask.text.value`."""
    every = {**row["measures"], **row.get("headline", {})}
    return {path.removesuffix(".value"): found for path, found in every.items()}


def _mean(values: Sequence[Any]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None


def of_recipes(results: Path) -> dict[str, list[Runs]]:
    """Return recipe -> its runs: first those of the recipe as it is now, of its own length, with most seeds.

    Args:
        results: The folder of committed results.
    """
    groups: dict[tuple[str, str], dict[int, Row]] = {}
    for row in [*_rows(results), *_records(results)]:
        groups.setdefault((row["arm"], row["plan"]), {})[row["seed"]] = row
    found: dict[str, list[Runs]] = {}
    for (name, _), by_seed in groups.items():
        rows = tuple(by_seed[seed] for seed in sorted(by_seed))
        found.setdefault(name, []).append(Runs(name, rows[0]["budget"], rows, rows[0]["study"]))
    own = {name: own_budget(name) for name in found}
    for runs in found.values():
        runs.sort(key=lambda one: (one.stale, one.budget != own[one.recipe], -len(one.rows), one.study))
    return found


def plan(runs: Runs, *seeds: int) -> Study:
    """Return the study of these runs alone, with other seeds: what makes another run of the same kind."""
    first = runs.rows[0]
    return Study(
        "golden",
        (Arm(runs.recipe, (runs.recipe,)),),
        seeds or runs.seeds,
        parse(runs.budget),
        measures=tuple(runs.checked),
        evaluate=first.get("evaluate", {}),
        threads=first.get("threads", first["hardware"]["threads"]),
    )


def another(runs: Runs, seed: int) -> Study:
    """Return the study of one more seed, trained for as many steps as the committed runs took on average.

    CPU seconds would buy another number of steps where the machine is less, or more, shared.
    """
    steps = round(statistics.fmean(row["training"]["steps"] for row in runs.rows))
    return replace(plan(runs, seed), budget=parse(f"{steps}steps"))


def golden(results: Path) -> dict[str, Row]:
    """Return recipe -> the last run that was held to its ranges."""
    path = results / GOLDEN
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    return {row["recipe"]: row for row in rows}


def outside(runs: Runs, row: Row) -> list[str]:
    """Return in words what of another run lies outside the ranges."""
    found = []
    for path in runs.checked:
        ends, measured = runs.expected(path), _measures(row).get(path)
        value = math.nan if measured is None else float(measured["value"])
        if ends is not None and not ends[0] - 1e-9 <= value <= ends[1] + 1e-9:
            found.append(f"{path} is {value:.4g}, expected {ends[0]:.4g} to {ends[1]:.4g}")
    return found


def held(runs: Runs, row: Row) -> Row:
    """Return what is kept of another run: its values beside their ranges."""
    kept = ("commit", "command", "date", "hardware", "versions", "seed", "budget")
    told = {}
    for path in runs.checked:
        ends, measured = runs.expected(path), _measures(row).get(path)
        if ends is not None:
            told[path] = {"value": measured["value"] if measured else None, "low": ends[0], "high": ends[1]}
    seconds = {"cpu_seconds": row["training"].get("cpu_seconds")}
    return {"recipe": runs.recipe, "measures": told, "outside": outside(runs, row), **seconds} | {
        name: row[name] for name in kept
    }


def keep(results: Path, row: Row) -> None:
    """Write what `held` returned into the file of golden runs, in the place of an earlier run of the recipe."""
    rows = {**golden(results), row["recipe"]: row}
    lines = [json.dumps(rows[name], ensure_ascii=False) + "\n" for name in sorted(rows)]
    files.write(results / GOLDEN, "".join(lines))


def _rows(results: Path) -> list[Row]:
    """Return the rows of studies that are runs of a recipe as it stands."""
    found = []
    for path in sorted(results.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line) if line.strip() else {}
            sources = row.get("sources", [])
            plain = len(sources) == 1 and sources[0] in recipes.names() and not row["changes"] and not row["factors"]
            if plain and row["status"] == "done":
                found.append({**row, "arm": sources[0]})
    return found


def _records(results: Path) -> list[Row]:
    """Return records of single runs in the form of rows."""
    found = []
    for path in sorted(results.glob("*.json")):
        metrics = json.loads(path.read_text(encoding="utf-8"))
        if metrics.get("recipe") not in recipes.names() or "training" not in metrics:
            continue
        training = metrics["training"]
        budget = training.get("budget") or f"{training['steps']}steps"
        found.append(
            {
                "study": "",
                "arm": metrics["recipe"],
                "plan": f"record, {budget}",
                "seed": metrics["seed"],
                "budget": budget,
                "measures": {name: measures.lookup(metrics, name) for name in measures.headline(metrics)},
                "training": training,
                "data": {
                    "dataset": metrics["data"]["dataset"],
                    **{name: metrics[name] for name in ("protocol", "split")},
                },
                "command": [training.get("command") or metrics["command"]],
                **{name: metrics[name] for name in ("hardware", "versions", "evaluation")},
            }
        )
    return found


def own_budget(name: str) -> str:
    """Return how long a recipe trains by itself."""
    trainer = yaml.safe_load(recipes.find(name).read_text(encoding="utf-8")).get("trainer") or {}
    return f"{trainer.get('max_steps')}steps"
