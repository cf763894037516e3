"""One page per committed graph lift: the verdict and what it stands on, from the rows of its file."""

from __future__ import annotations

from pathlib import Path

from mmgraph.docs.places import UNSEARCHED, Places
from mmgraph.evaluation.studies import analyse, graph_lift, lift_page, rows

PREFIX = "graph-lift-"
"""What the names of files of rows begin with that `mmgraph graph-lift` wrote."""


def write(places: Places, folder: Path) -> list[tuple[str, str]]:
    """Write a page for each file of rows; return (title, page) of each, for the navigation."""
    pages = []
    for path in _files(places):
        (folder / "lifts").mkdir(parents=True, exist_ok=True)
        name = path.stem.removeprefix(PREFIX)
        page = UNSEARCHED + lift_page.committed_page(path) + f"\n## Run it\n\n```console\n$ {_command(path)}\n```\n"
        (folder / "lifts" / f"{name}.md").write_text(page, encoding="utf-8")
        pages.append((f"Graph lift, {name}", f"generated/lifts/{name}.md"))
    return pages


def summary(places: Places) -> list[str]:
    """Return a table of all lifts: runs that are done, and the verdict."""
    lines = []
    for path in _files(places):
        found = rows.read(path)
        study = graph_lift.of_rows(found)
        done = sum(row["status"] == "done" for row in found)
        name = path.stem.removeprefix(PREFIX)
        told = graph_lift.verdict(analyse(study, found))["verdict"]
        lines.append(f"| [{name}](lifts/{name}.md) | {done} of {len(study.cells())} | {len(study.seeds)} | {told} |")
    if not lines:
        return ["No graph lift is committed yet: not run.\n"]
    return ["| recipe | runs | seeds | verdict |\n|---|---|---|---|", *lines, ""]


def _files(places: Places) -> list[Path]:
    return [path for path in sorted(places.results.glob(f"{PREFIX}*.jsonl")) if rows.read(path)]


def _command(path: Path) -> str:
    study = graph_lift.of_rows(rows.read(path))
    whole = study.seeds == tuple(range(len(study.seeds)))
    seeds = len(study.seeds) if whole else ",".join(map(str, study.seeds))
    limit = f" --limit {study.evaluate['limit']}" if "limit" in study.evaluate else ""
    return (
        f"mmgraph graph-lift -c {study.arms[0].sources[0]} --seeds {seeds} --budget {study.budget} "
        f"--arms {','.join(arm.name for arm in study.arms)}{limit} --results docs/results/{path.name}"
    )
