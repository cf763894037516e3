"""The table of results: what committed runs and studies measured, and `not run` for the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmgraph.docs.places import Places
from mmgraph.docs.recipe_pages import shipped

HEAD = (
    "recipe", "seed", "parameters", "visual tokens", "CPU seconds", "accuracy on held-out questions", "chance",
    "R@10, trained", "R@10, unseen", "chance",
)  # fmt: skip

WORDS = 60
"""Characters of a text above which it has no column."""

LONG = 12
"""Rows of a study above which its table is folded."""


def write(places: Places, folder: Path) -> list[tuple[str, str]]:
    """Write the page; return its (title, page), for the navigation."""
    rows = _runs(places)
    text = [
        "# Results\n",
        "Each row is one run whose record is committed with the sources. Accuracy is the mean over the kinds of "
        "question that [Evaluation](../concepts/evaluation.md) describes, each kind counting once; R@10 is retrieval "
        "of the caption's own picture among 150; the range in brackets is a 95 % bootstrap interval. "
        "A recipe without a committed run says so.\n",
        *_table(HEAD, rows),
    ]
    for path in sorted(places.results.glob("*.jsonl")):
        text += _study(path)
    (folder / "results.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    return [("Results", "generated/results.md")]


def _runs(places: Places) -> list[str]:
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(places.results.glob("*.json"))]
    rows = []
    for name in shipped(places):
        mine = [record for record in records if record.get("recipe") == name and "training" in record]
        rows += [_run(record) for record in sorted(mine, key=lambda record: record["seed"])]
        if not mine:
            rows.append(f"| [`{name}`](recipes/{name}.md) |" + " not run |" * (len(HEAD) - 1))
    return rows


def _run(record: dict[str, Any]) -> str:
    training = record["training"]
    kinds = [kind for kind in record.get("understanding", {}).values() if kind.get("accuracy") is not None]
    generation = record.get("generation", {})
    cells = [
        f"[`{record['recipe']}`](recipes/{record['recipe']}.md)",
        str(record["seed"]),
        f"{training['parameters'] / 1e6:.1f} M",
        str(training.get("visual_tokens", "not measured")),
        f"{training['cpu_seconds']:.0f}",
        f"{_mean(kinds, 'accuracy'):.2f}" if kinds else "not run",
        f"{_mean(kinds, 'chance'):.2f}" if kinds else "not run",
    ]
    found = [generation.get(part, {}).get("recall_at_10") for part in ("trained", "unseen")]
    cells += [_with_interval(value) for value in found]
    cells.append(next((f"{value['chance']:.2f}" for value in found if value), "not run"))
    return f"| {' | '.join(cells)} |"


def _mean(kinds: list[dict[str, Any]], name: str) -> float:
    return sum(kind[name] for kind in kinds) / len(kinds)


def _with_interval(value: dict[str, Any] | None) -> str:
    if not value:
        return "not run"
    low, high = value["ci95"]
    return f"{value['value']:.2f} [{low:.2f}, {high:.2f}]"


def _study(path: Path) -> list[str]:
    """Return a section for one file of rows: ratios as they are measured, any other row by its plain fields."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not rows:
        return []
    table = [_flat(row) for row in rows]
    head = list(dict.fromkeys(name for row in table for name in row))
    text = [f"## {path.stem.replace('_', ' ').replace('-', ' ').capitalize()}\n"]
    lines = _table(head, [f"| {' | '.join(row.get(name, '') for name in head)} |" for row in table])
    if len(rows) > LONG:
        text.append(f'??? note "{len(rows)} rows"\n')
        lines = [f"    {line}" if line else "" for part in lines for line in part.split("\n")]
    text += lines
    commands = dict.fromkeys(str(row["command"]) for row in rows if "command" in row)
    if commands:
        text.append("\nRun again with\n\n```console\n" + "\n".join(f"$ {command}" for command in commands) + "\n```")
    return [*text, ""]


def _table(head: Sequence[str], rows: list[str]) -> list[str]:
    return [
        '<div class="compact" markdown="1">\n', f"| {' | '.join(head)} |\n|{'---|' * len(head)}", *rows, "\n</div>\n"
    ]  # fmt: skip


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
