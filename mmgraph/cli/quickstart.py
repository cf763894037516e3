"""`mmgraph quickstart`: train, evaluate and report, with one command."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence

from mmgraph.cli import global_flags, training
from mmgraph.cli.evaluate import report

RECIPE = "transfusion"


def run(verb: str, argv: Sequence[str], *, debug: bool = False) -> int:
    """Train the recipe, evaluate it and say where the report is."""
    parser = argparse.ArgumentParser(
        prog="mmgraph quickstart",
        description=f"Train the recipe '{RECIPE}' on emoji, evaluate it on test pictures, write report.html.",
        epilog="Further flags go to 'mmgraph fit', for example --trainer.max_steps 100.",
        allow_abbrev=False,
    )
    parser.add_argument("--run", metavar="DIR", help=f"run directory (default: runs/{RECIPE}/SEED)")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of everything (default: 0)")
    options, rest = parser.parse_known_args(list(argv))
    arguments = ["-c", RECIPE, *rest]
    for flag in ("run", "seed"):
        value = getattr(options, flag)
        if value is not None:
            arguments += [f"--{flag}", str(value)]
    directory = training.fit(arguments, debug=debug)
    report(directory.path, shlex.join(["mmgraph", *global_flags, verb, *argv]), split="test")
    return 0
