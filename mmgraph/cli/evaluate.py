"""`mmgraph evaluate`: score a trained run and write its report."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmgraph.cli import global_flags
from mmgraph.cli.generate import guidance, positive
from mmgraph.cli.table import table
from mmgraph.errors import UsageError


def run(verb: str, argv: Sequence[str], *, debug: bool = False) -> int:
    """Evaluate a run directory."""
    parser = argparse.ArgumentParser(
        prog="mmgraph evaluate",
        description="Score a run's drawing, naming and answering; write metrics.json and report.html.",
        allow_abbrev=False,
    )
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help="run directory of a fit")
    parser.add_argument("--split", choices=("val", "test"), default="test", help="default: test")
    parser.add_argument("--limit", type=positive, metavar="N", help="at most so many drawings and questions")
    parser.add_argument("--guidance", type=guidance, metavar="G", help="as in 'mmgraph generate'")
    parser.add_argument("--steps", type=positive, metavar="N", help="steps of the sampler (default: the model's)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the noise; default: 0")
    options = parser.parse_args(list(argv))
    if not options.run.is_dir():
        raise UsageError(f"there is no run directory {options.run}.")
    chosen = {"limit": options.limit, "guidance": options.guidance, "num_steps": options.steps}
    given = {name: value for name, value in chosen.items() if value is not None}
    command = shlex.join(["mmgraph", *global_flags, verb, *argv])
    report(options.run, command, split=options.split, seed=options.seed, **given)
    return 0


def report(directory: Path, command: str, **options: Any) -> None:
    """Evaluate, show the main numbers and say where the report is."""
    from mmgraph import evaluation

    found = evaluation.evaluate(
        directory,
        command=command,
        progress=lambda line: print(f"evaluating: {line}", file=sys.stderr),
        **options,
    )
    print(summary(found))
    print(f"report: {directory / 'report.html'}")


def summary(found: Mapping[str, Any]) -> str:
    """Return the headline numbers beside their baselines."""
    legend = found.get("legend", {})
    rows = []
    verb = "draw" if found.get("generation") else "reconstruct"
    for population, scores in (found.get("generation") or found.get("reconstruction") or {}).items():
        for name, score in scores.items():
            meaning = legend.get(name, {})
            if meaning.get("headline"):
                rows.append((f"{verb}, {population}", meaning["label"], score["value"], score.get("chance")))
    for population, scores in found.get("captioning", {}).items():
        for name, score in scores.items():
            label = legend.get(name, {}).get("label", name)
            rows.append((f"caption, {population}", label, score["value"], score.get("chance")))
    for kind, score in found.get("understanding", {}).items():
        rows.append(("answer, unseen", kind, score["accuracy"], score.get("chance")))
    if not rows:  # a model of texts
        for task, losses in found.get("losses", {}).items():
            rows += [(f"{task}, unseen", f"{head} loss", loss["value"], None) for head, loss in losses.items()]
    shown = [
        (what, name, f"{value:.3f}", "" if chance is None else f"{chance:.3f}") for what, name, value, chance in rows
    ]
    return table(("task", "score", "value", "chance"), shown)
