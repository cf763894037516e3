"""`mmgraph compare`: train and evaluate several arms with the same seeds, and say how sure their difference is."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgraph import budgets
from mmgraph.cli import global_flags
from mmgraph.cli.generate import positive
from mmgraph.errors import RunError, UsageError

if TYPE_CHECKING:
    from mmgraph.evaluation.studies import Analysis, Study

EXAMPLES = """examples:
  mmgraph compare transfusion mine.yaml --seeds 5 --budget 600cpu-s --out runs/mine
  mmgraph compare --study docs/studies/fusion.yaml
  mmgraph compare --study docs/studies/fusion.yaml --budget 50steps --seeds 2 --evaluate limit=20 --out runs/try

A study that was stopped goes on where it was: run the same command again. DIR/ARM/SEED are run directories,
DIR/rows.jsonl has one row for each, DIR/report.html the tables and plots."""


def run(verb: str, argv: Sequence[str], *, debug: bool = False) -> int:
    """Run a study and show what it says."""
    options = _parser().parse_args(list(argv))
    from mmgraph.cli.cell import launch
    from mmgraph.evaluation import studies

    study, own = _study(options)
    out = options.out or Path("runs", "studies", study.name)
    rows = studies.run(
        study,
        out,
        launch=launch,
        jobs=options.jobs,
        overwrite=options.overwrite,
        results=own,
        prefix=("mmgraph", *global_flags),
        tell=lambda line: print(f"compare: {line}", file=sys.stderr, flush=True),
    )
    analysis = studies.analyse(study, rows)
    studies.write(analysis, out)
    show(analysis)
    print(f"report: {out / 'report.html'}")
    check_done(rows)
    return 0


def check_done(rows: Sequence[Mapping[str, Any]]) -> None:
    """Refuse to end well where runs of a study failed.

    Raises:
        RunError: Naming them and what each said.
    """
    failed = [row for row in rows if row["status"] != "done"]
    if failed:
        names = "; ".join(f"{row['arm']} {row['factors'] or ''} seed {row['seed']}: {row['message']}" for row in failed)
        raise RunError(f"{len(failed)} of {len(rows)} runs failed: {names}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mmgraph compare",
        description="Train and evaluate arms with the same seeds and budget; report paired differences.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("recipes", nargs="*", metavar="RECIPE|FILE.yaml", help="arms; the first is the baseline")
    add("--study", type=Path, metavar="FILE", help="a study file instead: arms, factors, measures, contrasts")
    add("--seeds", metavar="N|A,B,...", help="how many seeds, or which (default: 3, or the study's)")
    add("--budget", metavar="B", help="of each run: 2000steps or 600cpu-s")
    add("--out", type=Path, metavar="DIR", help="where runs and results go (default: runs/studies/NAME)")
    add(
        "--measure",
        action="append",
        metavar="PATH",
        help="path into metrics.json, such as generation.unseen.recall_at_10 (repeatable; the first is primary)",
    )
    add(
        "--evaluate",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="option of 'mmgraph evaluate': limit=40 for fewer items, split=val, steps=10, guidance=2 (repeatable)",
    )
    add("--threads", type=positive, metavar="N", help="threads of each run (default: 1, or the study's)")
    add("--jobs", type=positive, default=1, metavar="N", help="runs at a time (default: 1)")
    add("--overwrite", action="store_true", help="begin anew where DIR holds runs of another plan")
    return parser


def _study(options: argparse.Namespace) -> tuple[Study, bool]:
    """Return the study, and whether it is the one of its file unchanged, whose rows may join committed ones."""
    from mmgraph.evaluation import studies
    from mmgraph.evaluation.studies.reading import EVALUATE_KEYS, seeds

    if bool(options.recipes) == (options.study is not None):
        raise UsageError("name two or more recipes, or give --study FILE.")
    evaluate = {}
    for given in options.evaluate:
        name, sign, value = given.partition("=")
        if not sign or name not in EVALUATE_KEYS:
            raise UsageError(f"--evaluate takes KEY=VALUE with KEY one of {', '.join(EVALUATE_KEYS)}; got '{given}'.")
        evaluate[name] = value
    changes: dict[str, Any] = {"budget": options.budget, "threads": options.threads, "measures": options.measure}
    changes["seeds"] = seeds(options.seeds, "--seeds") if options.seeds is not None else None
    changes = {name: value for name, value in changes.items() if value is not None}
    if options.budget is not None:
        budgets.parse(options.budget)
    if options.study is None:
        if "budget" not in changes:
            raise UsageError("say how long each run trains: --budget 2000steps or --budget 600cpu-s.")
        return studies.short(options.recipes, **{"seeds": 3, **changes, "evaluate": evaluate}), False
    planned = studies.read(options.study)
    if evaluate:
        changes["evaluate"] = {**planned.evaluate, **evaluate}
    if "measures" in changes and planned.contrasts:
        # a contrast may name the study's own measure; the first one asked for decides instead
        contrasts = tuple(dataclasses.replace(contrast, measure="") for contrast in planned.contrasts)
        planned = dataclasses.replace(planned, contrasts=contrasts)
    if "budget" in changes:
        changes["budget"] = budgets.parse(changes["budget"])
    if "measures" in changes:
        changes["measures"] = tuple(changes["measures"])
    return dataclasses.replace(planned, **changes), not changes


def show(analysis: Analysis) -> None:
    """Print the tables of a study."""
    from rich.console import Console
    from rich.table import Table

    from mmgraph.evaluation.studies import page

    console = Console(width=None if sys.stdout.isatty() else 160)
    for title, (head, rows) in (
        ("Arms, over seeds", page.arm_table(analysis)),
        ("Paired differences", page.comparison_table(analysis)),
    ):
        if not rows:
            continue
        table = Table(title=title, title_justify="left")
        for name in head:
            table.add_column(name, overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print(table, markup=False, highlight=False)
    for note in analysis.notes:
        print(f"note: {note}")
