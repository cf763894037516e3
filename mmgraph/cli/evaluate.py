"""`mmgraph evaluate`: score a trained run and write its report."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmgraph.errors import UsageError


def run(verb: str, argv: Sequence[str], *, debug: bool = False) -> int:
    """Evaluate a run directory."""
    parser = argparse.ArgumentParser(
        prog="mmgraph evaluate",
        description="Score a run's drawing, naming and answering; write metrics.json and report.html.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--run", type=Path, required=True, metavar="DIR", help="run directory of a finished fit"
    )
    parser.add_argument("--split", choices=("train", "val", "test"), default="test", help="default: test")
    options = parser.parse_args(list(argv))
    if not options.run.is_dir():
        raise UsageError(f"there is no run directory {options.run}.")
    report(options.run, options.split)
    return 0


def report(directory: Path, split: Any) -> None:
    """Evaluate and say where the report is."""
    from mmgraph import evaluation

    evaluation.evaluate(directory, split=split)
    print(f"report: {directory / 'report.html'}")
