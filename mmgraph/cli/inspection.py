"""`mmgraph inspect`: one batch as the model sees it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmgraph.cli import training
from mmgraph.errors import UsageError


def run(verb: str, argv: Sequence[str], *, debug: bool = False) -> int:
    """Build the model and the data of a recipe and show one batch."""
    parser = argparse.ArgumentParser(
        prog="mmgraph inspect",
        description="Show one batch as the model sees it: segments, spans and roles, token counts, attention "
        "mask, scored positions, routing, parameters per part, FLOPs per step.",
        epilog="Further flags change the recipe as in 'mmgraph fit', such as --data.init_args.batch_size 4.",
        allow_abbrev=False,
    )
    parser.add_argument("-c", "--config", action="append", default=[], metavar="RECIPE|FILE", help="recipe or file")
    parser.add_argument("--out", type=Path, metavar="FILE.png", help="also draw the mask and the layout")
    options, rest = parser.parse_known_args(list(argv))
    if not options.config:
        raise UsageError("say what to inspect: 'mmgraph inspect -c RECIPE' or '-c FILE.yaml'.")
    if options.out is not None and options.out.suffix.lower() != ".png":
        raise UsageError(f"--out {options.out} must end in .png.")
    model, dataset = training.build([*(arg for name in options.config for arg in ("-c", name)), *rest], debug=debug)
    from mmgraph import inspection

    print(inspection.inspect(model, dataset, out=options.out))
    return 0
