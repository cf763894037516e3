"""The page of results: what committed runs, studies and benchmarks measured, and `not run` for the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmgraph.docs import committed, lift_pages, recipe_tables, study_pages
from mmgraph.docs.places import Places
from mmgraph.docs.recipe_pages import shipped

WORDS = 60
"""Characters of a text above which it has no column."""

LONG = 12
"""Rows of a study above which its table is folded."""


def write(places: Places, folder: Path) -> list[tuple[str, str]]:
    """Write the page and those of studies; return (title, page) of each, for the navigation."""
    names, found = shipped(places), committed.of_recipes(places.results)
    text = [
        "# Results\n",
        "What was measured, with the sources committed beside it; the rest says *not run*. How it is measured: "
        "[Evaluation](../concepts/evaluation.md).\n",
        "## Recipes\n",
        f"{recipe_tables.NOTE}\n",
        recipe_tables.overview(names, found, places.studies),
        *recipe_tables.sections(names, found),
        "## Studies\n",
        *study_pages.summary(places),
        "## Graph lifts\n",
        *lift_pages.summary(places),
    ]
    for path in sorted(places.results.glob("*.jsonl")):
        text += _rows(path)
    (folder / "results.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    pages = [*study_pages.write(places, folder), *lift_pages.write(places, folder)]
    return [("All results", "generated/results.md"), *pages]


def _rows(path: Path) -> list[str]:
    """Return a section for one file of rows: ratios as they are measured, any other row by its plain fields.

    Rows of studies and golden runs stand on the pages of the study and of the recipe.
    """
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not rows or ("arm" in rows[0] and "plan" in rows[0]) or path.name == committed.GOLDEN:
        return []
    table = [_flat(row) for row in rows]
    head = list(dict.fromkeys(name for row in table for name in row))
    text = [f"## {path.stem.replace('_', ' ').replace('-', ' ').capitalize()}\n"]
    lines = [recipe_tables.table(head, [[row.get(name, "") for name in head] for row in table])]
    if len(rows) > LONG:
        text.append(f'??? note "{len(rows)} rows"\n')
        lines = [f"    {line}" if line else "" for part in lines for line in part.split("\n")]
    text += lines
    commands = dict.fromkeys(str(row["command"]) for row in rows if "command" in row)
    if commands:
        text.append("\nRun again with\n\n```console\n" + "\n".join(f"$ {command}" for command in commands) + "\n```")
    return [*text, ""]


def _flat(row: dict[str, Any]) -> dict[str, str]:
    cells = {}
    for name, value in row.items():
        if isinstance(value, dict) and {"median", "low", "high"} <= set(value):
            cells[name] = f"{value['median']:.3g} [{value['low']:.3g}, {value['high']:.3g}]"
        elif isinstance(value, bool):
            cells[name] = "yes" if value else "no"
        elif isinstance(value, str) and len(value) > WORDS:
            continue  # a command, which no table holds
        elif isinstance(value, int | str) and name not in ("command", "schema", "commit"):
            cells[name] = str(value).replace("|", "\\|")
        elif isinstance(value, float):
            cells[name] = f"{value:.4g}"
    return cells
