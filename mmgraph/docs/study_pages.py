"""One page per committed study: its result from its rows, and the file that makes them."""

from __future__ import annotations

from pathlib import Path

from mmgraph.docs.places import UNSEARCHED, Places
from mmgraph.evaluation import studies
from mmgraph.evaluation.studies import rows


def write(places: Places, folder: Path) -> list[tuple[str, str]]:
    """Write a page for each study file; return (title, page) of each, for the navigation."""
    folder = folder / "studies"
    folder.mkdir(parents=True, exist_ok=True)
    pages = []
    for path in sorted(places.studies.glob("*.yaml")):
        page = UNSEARCHED + studies.committed_page(path) + _run(path)
        (folder / f"{path.stem}.md").write_text(page, encoding="utf-8")
        pages.append((f"Study, {path.stem}", f"generated/studies/{path.stem}.md"))
    return pages


def summary(places: Places) -> list[str]:
    """Return a table of all studies: question, runs that are done, and the answer of the primary contrast."""
    lines = []
    for path in sorted(places.studies.glob("*.yaml")):
        study = studies.read(path)
        found = studies.analyse(study, rows.read(study.results) if study.results else [])
        done = sum(row["status"] == "done" for row in found.rows)
        cells = len(study.cells())
        answer = studies.answer(found) or "–"
        lines.append(
            f"| [{path.stem}](studies/{path.stem}.md) | {_cell(study.question)} | "
            f"{f'{done} of {cells}' if done else 'not run'} | {_cell(answer)} |"
        )
    if not lines:
        return ["No study is committed yet: not run.\n"]
    return ["| study | question | runs | answer |\n|---|---|---|---|", *lines, ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _run(path: Path) -> str:
    yaml = "\n".join(f"    {line}" if line else "" for line in path.read_text(encoding="utf-8").splitlines())
    command = f"mmgraph compare --study docs/studies/{path.name}"
    return (
        f"\n## Run it\n\n```console\n$ {command}\n```\n\nWhat is done already is not run again.\n\n"
        f'??? example "The study file"\n\n    ```yaml\n{yaml}\n    ```\n'
    )
