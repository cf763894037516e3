"""Running a study: one child process a run, paired seeds, and every finished run a row that is never done twice."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

from mmgraph.errors import RunError, UsageError
from mmgraph.evaluation import files, schema
from mmgraph.evaluation.studies import measures, rows
from mmgraph.evaluation.studies.plan import Cell, Study

ROWS = "rows.jsonl"
CELL = "cell.json"
OUTPUT = "output.txt"
LOCK = ".lock"
CHECKPOINT = Path("checkpoints", "last.ckpt")


class Process(Protocol):
    """A run under way."""

    def poll(self) -> int | None:
        """Return the exit status once it has ended."""

    def stop(self) -> None:
        """Let it end its step and write its checkpoint, and wait for that."""


Launch = Callable[[Sequence[Sequence[str]], Path, int], Process]
"""`launch(commands, output, threads)` starts `mmgraph COMMAND` for each command, one after another, in one process
that writes what it says to the file `output`."""


@dataclass
class Run:
    """A cell and where it runs."""

    study: Study
    cell: Cell
    folder: Path

    @property
    def commands(self) -> list[list[str]]:
        """What makes the run: arguments of `mmgraph`, training first."""
        fit = ["fit"]
        for source in self.study.arm(self.cell.arm).sources:
            fit += ["-c", source]
        for name, value in self.study.overrides(self.cell).items():
            fit += [f"--{name}", value if isinstance(value, str) else json.dumps(value)]
        fit += ["--seed", str(self.cell.seed), "--budget", str(self.study.budget), "--run", str(self.folder)]
        evaluate = ["evaluate", "--run", str(self.folder)]
        for name, value in self.study.evaluation(self.cell).items():
            evaluate += [f"--{name}", _words(value)]
        return [fit, evaluate]

    def pending(self) -> list[list[str]]:
        """Return what is left to be done: training goes on from its checkpoint."""
        fit, evaluate = self.commands
        return [[*fit, "--resume"] if (self.folder / CHECKPOINT).is_file() else fit, evaluate]


def run(
    study: Study,
    out: Path,
    *,
    launch: Launch,
    jobs: int = 1,
    overwrite: bool = False,
    results: bool = True,
    prefix: Sequence[str] = ("mmgraph",),
    tell: Callable[[str], None] = print,
) -> list[rows.Row]:
    """Run what is not done yet, and return all rows.

    Args:
        study: The plan.
        out: The study's folder: a run directory of each cell, and rows.jsonl.
        launch: Starts a run.
        jobs: Runs at a time.
        overwrite: Whether to begin anew where the folder holds runs of another plan.
        results: Whether to copy rows to the study's results file.
        prefix: The command and its global flags, for the record.
        tell: Called with one line about each run.

    Raises:
        UsageError: If the folder holds runs of another plan, or no run has one of the measures.
    """
    measures.check(study.measures)
    runs = [Run(study, cell, out / study.folder(cell)) for cell in study.cells()]
    out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / LOCK, timeout=0):
            return _run(study, runs, out, launch, jobs, overwrite, results, prefix, tell)
    except Timeout:
        raise UsageError(f"another process is running a study in {out}; wait for it, or give another --out.") from None


def _run(
    study: Study,
    runs: Sequence[Run],
    out: Path,
    launch: Launch,
    jobs: int,
    overwrite: bool,
    results: bool,
    prefix: Sequence[str],
    tell: Callable[[str], None],
) -> list[rows.Row]:
    _claim(runs, out, overwrite)
    known = {rows.key(row): row for row in rows.read(out / ROWS)}
    targets = [out / ROWS, *([study.results] if study.results and results else [])]

    def keep(row: rows.Row) -> None:
        known[rows.key(row)] = row
        for target in targets:
            rows.put(target, row)

    waiting: deque[Run] = deque()
    for one in runs:
        row = known.get(one.cell.key)
        if row is None or row["status"] != "done":
            waiting.append(one)
        elif _says_less(row, study) and (one.folder / files.METRICS).is_file():
            keep({**_finished(one, prefix), "date": row["date"], "commit": row["commit"]})
    tell(f"{len(runs) - len(waiting)} of {len(runs)} runs are done")
    if not waiting:
        _check_measures(study, runs, known)
    under_way: list[tuple[Run, Process]] = []
    try:
        while waiting or under_way:
            while waiting and len(under_way) < jobs:
                one = waiting.popleft()
                tell(f"{one.cell.title}: running in {one.folder}")
                under_way.append((one, _start(one, launch)))
            for pair in list(under_way):
                status = pair[1].poll()
                if status is None:
                    continue
                under_way.remove(pair)
                row = _ended(pair[0], status, prefix)
                keep(row)
                tell(f"{pair[0].cell.title}: {_brief(row)}")
                _check_measures(study, runs, known)
            if under_way:
                time.sleep(0.1)
    finally:
        for _, process in under_way:
            process.stop()
    return [known[one.cell.key] for one in runs if one.cell.key in known]


def _says_less(row: rows.Row, study: Study) -> bool:
    """Whether a row lacks what is asked for now, or what rows keep by now."""
    other = study.measures and set(row["measures"]) != set(study.measures)
    return bool(other) or row.get("schema") != rows.SCHEMA


def _claim(runs: Sequence[Run], out: Path, overwrite: bool) -> None:
    """Refuse runs that another plan has made, or remove them."""
    for one in runs:
        path = one.folder / CELL
        plan = one.study.digest(one.cell)
        made = json.loads(path.read_text(encoding="utf-8")).get("plan") if path.is_file() else None
        row = next((row for row in rows.read(out / ROWS) if rows.key(row) == one.cell.key), None)
        others = {digest for digest in (made, row and row["plan"]) if digest not in (None, plan)}
        if not others:
            continue
        if not overwrite:
            raise UsageError(
                f"{one.folder} was run with another plan (other configuration, budget, evaluation or threads). Give "
                "another --out, or begin anew with --overwrite."
            )
        if one.folder.is_dir() and path.is_file():  # only what this engine has made
            shutil.rmtree(one.folder)
        kept = [known for known in rows.read(out / ROWS) if rows.key(known) != one.cell.key]
        rows.write(out / ROWS, kept)


def _start(one: Run, launch: Launch) -> Process:
    one.folder.mkdir(parents=True, exist_ok=True)
    (one.folder / OUTPUT).unlink(missing_ok=True)  # what an earlier try said
    text = json.dumps({"study": one.study.name, "plan": one.study.digest(one.cell)}) + "\n"
    files.write(one.folder / CELL, text)
    return launch(one.pending(), one.folder / OUTPUT, one.study.threads)


def _ended(one: Run, status: int, prefix: Sequence[str]) -> rows.Row:
    if status == 0:
        try:
            return _finished(one, prefix)
        except RunError as error:
            return rows.failed(one.study, one.cell, str(error), _commands(one, prefix))
    return rows.failed(one.study, one.cell, _reason(one.folder / OUTPUT, status), _commands(one, prefix))


def _finished(one: Run, prefix: Sequence[str]) -> rows.Row:
    return rows.done(one.study, one.cell, one.folder, _commands(one, prefix))


def _commands(one: Run, prefix: Sequence[str]) -> list[str]:
    """Return what anyone types to make the run: in the default directory, wherever this one was."""
    usual = replace(one, folder=Path("runs", "studies", one.study.name) / one.study.folder(one.cell))
    return [shlex.join([*prefix, *command]) for command in usual.commands]


def _reason(output: Path, status: int) -> str:
    """Return why a run ended: the command line's own message, else the last thing it said."""
    text = output.read_text(encoding="utf-8", errors="replace") if output.is_file() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line.removeprefix("mmgraph: ") for line in lines if line.startswith("mmgraph: ")]
    if status in (1, 2) and told:
        return told[-1]
    ended = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
    return f"{ended}; the last it said: {lines[-1]}" if lines else ended


def _brief(row: rows.Row) -> str:
    if row["status"] != "done":
        return f"failed: {row['message']}"
    shown = [(path, found["value"]) for path, found in row["measures"].items() if found][:3]
    figures = row["training"]
    spent = (
        f"{figures['steps']} steps, {figures['cpu_seconds']:.0f} CPU s" if figures["cpu_seconds"] is not None else ""
    )
    return "; ".join([*(f"{path} {value:.4g}" for path, value in shown), *([spent] if spent else [])])


def _check_measures(study: Study, runs: Sequence[Run], known: dict[Any, rows.Row]) -> None:
    """Refuse a measure that no arm has, as soon as each arm has ended a run."""
    last: dict[str, Path] = {}
    ended = set()
    for one in runs:
        row = known.get(one.cell.key)
        if row is not None:
            ended.add(one.cell.arm)
        if row is not None and row["status"] == "done" and (one.folder / files.METRICS).is_file():
            last[one.cell.arm] = one.folder
    if study.measures and ended == {arm.name for arm in study.arms}:
        needed = [path for path in study.measures if path not in study.optional]
        measures.check_found(needed, [schema.read(folder / files.METRICS) for folder in last.values()])


def _words(value: Any) -> str:
    """Return an option's value as the command line takes it: `text=2.5,graph=1.5` for a mapping."""
    if isinstance(value, dict):
        return ",".join(f"{name}={part}" for name, part in value.items())
    return str(value)
