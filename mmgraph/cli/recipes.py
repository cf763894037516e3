"""`mmgraph recipes list|show`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mmgraph import recipes
from mmgraph.cli.table import table


def run(verb: str, argv: Sequence[str], *, debug: bool = False) -> int:
    """List recipes, or show one."""
    parser = argparse.ArgumentParser(prog="mmgraph recipes", description="List and show recipes.", allow_abbrev=False)
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|show")
    actions.add_parser("list", help="names and titles")
    show = actions.add_parser("show", help="one recipe: what it is, where it is, its YAML")
    show.add_argument("name")
    options = parser.parse_args(list(argv))
    if options.action == "list":
        rows = [
            (name, recipes.title(recipes.places(name)[0][1]), recipes.distribution(name)) for name in recipes.names()
        ]
        print(table(("recipe", "title", "distribution"), rows))
        return 0
    path = recipes.find(options.name)
    print(f"{options.name}: {recipes.title(path)}\nfile: {path}\ntrain it: mmgraph fit -c {options.name}\n")
    print(path.read_text(encoding="utf-8"))
    return 0
