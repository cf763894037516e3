"""`mmgraph graph-lift`: what the edges of a graph are worth to a recipe, in answers and in pictures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmgraph import budgets
from mmgraph.cli import global_flags
from mmgraph.cli.generate import positive

EXAMPLES = """examples:
  mmgraph graph-lift -c graph_transfusion --seeds 5 --budget 1500steps --arms none --out runs/lift
  mmgraph graph-lift -c graph_transfusion --seeds 2 --budget 30steps --arms none --limit 20 --out runs/try

A lift that was stopped goes on where it was: run the same command again. DIR/lift.md has the verdict, gains and
yardsticks, DIR/lift.json the same as numbers, DIR/report.html every table and plot of the study."""


def run(verb: str, argv: Sequence[str], *, debug: bool = False) -> int:
    """Run the arms and say what they show."""
    options = _parser().parse_args(list(argv))
    from mmgraph.cli.cell import launch
    from mmgraph.cli.compare import check_done, show
    from mmgraph.evaluation import studies
    from mmgraph.evaluation.studies import graph_lift, lift_page
    from mmgraph.evaluation.studies.reading import seeds
    from mmgraph.evaluation.yardsticks import yardsticks

    study, dataset = graph_lift.plan(
        options.config,
        seeds=seeds(options.seeds, "--seeds"),
        budget=budgets.parse(options.budget),
        arms=options.arms.split(",") if options.arms else None,
        limit=options.limit,
        results=options.results,
    )
    out = options.out or Path("runs", "studies", study.name)

    def tell(line: str) -> None:
        print(f"graph-lift: {line}", file=sys.stderr, flush=True)

    prefix = ("mmgraph", *global_flags)
    rows = studies.run(
        study, out, launch=launch, jobs=options.jobs, overwrite=options.overwrite, prefix=prefix, tell=tell
    )
    analysis = studies.analyse(study, rows)
    studies.write(analysis, out)
    tell("measuring what needs no training")
    needs_none = yardsticks(dataset, "test")
    lift_page.write(analysis, out, needs_none)
    if options.results:
        lift_page.keep(options.results, needs_none)
    show(analysis)
    print(graph_lift.verdict(analysis)["verdict"])
    print(f"lift: {out / 'lift.md'}\nreport: {out / 'report.html'}")
    check_done(rows)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mmgraph graph-lift",
        description="Train a recipe with real edges and with placebos, and say whether the graph helps both to "
        "understand and to generate.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("-c", "--config", required=True, metavar="RECIPE|FILE.yaml", help="a recipe whose model reads a graph")
    add("--seeds", default="5", metavar="N|A,B,...", help="how many seeds, or which (default: 5)")
    add("--budget", required=True, metavar="B", help="of each run: 2000steps or 600cpu-s")
    add("--out", type=Path, metavar="DIR", help="where runs and results go (default: runs/studies/graph-lift-RECIPE)")
    add(
        "--arms",
        metavar="A,B,...",
        help="beside real, mlp and rewired only these: none, same_class, permuted, text_only, image_only, "
        "only_RELATION (default: all)",
    )
    add("--limit", type=positive, metavar="N", help="at most so many questions and pictures in each evaluation")
    add("--results", type=Path, metavar="FILE.jsonl", help="copy the rows there, for a page that is made from them")
    add("--jobs", type=positive, default=1, metavar="N", help="runs at a time (default: 1)")
    add("--overwrite", action="store_true", help="begin anew where DIR holds runs of another plan")
    return parser
