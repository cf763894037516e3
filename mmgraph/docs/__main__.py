"""`python -m mmgraph.docs build|tutorials|pages|pictures|serve`."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from mmgraph.docs import places as checkout
from mmgraph.errors import RunError, UsageError

NEEDED = ("mkdocs", "material", "mkdocstrings", "jupytext", "nbclient", "nbformat", "ipykernel")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return 0, 1 for a failure while running, or 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m mmgraph.docs", description="Build the site.", allow_abbrev=False)
    actions = parser.add_subparsers(dest="action", required=True, metavar="build|tutorials|pages|pictures|serve")
    build = actions.add_parser("build", help="run what changed of the tutorials, generate pages, build strictly")
    build.add_argument("--out", type=Path, metavar="DIR", help="default: site")
    serve = actions.add_parser("serve", help="the same pages on a local port, live; runs no tutorial")
    serve.add_argument("--port", type=int, default=8000)
    build.add_argument("--draft", action="store_true", help="run no tutorial: show the outputs of its last run")
    tutorials = actions.add_parser("tutorials", help="run what changed of the tutorials and write their pages")
    tutorials.add_argument("wanted", nargs="*", metavar="NN", help="numbers or slugs; default: all")
    actions.add_parser("pages", help="the catalogues, the API reference and the results")
    actions.add_parser("pictures", help="draw the pictures of the home page again")
    options = parser.parse_args(argv)
    try:
        missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
        if missing:
            raise UsageError(f"building the site needs {', '.join(missing)}: pip install -e '.[docs]'")
        _run(options, checkout.find())
    except KeyboardInterrupt:
        return 130
    except (UsageError, RunError) as error:
        print(f"mmgraph.docs: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return 0


def _run(options: argparse.Namespace, places: checkout.Places) -> None:
    from mmgraph.docs import navigation, site

    if options.action == "build":
        site.build(places, draft=options.draft, out=options.out)
    elif options.action == "tutorials":
        site.tutorials(places, tuple(options.wanted))
    elif options.action == "pages":
        navigation.write(places, site.pages(places))
    elif options.action == "pictures":
        from mmgraph.docs import home_pictures

        home_pictures.draw(places)
    else:
        sections = {"tutorials": site.tutorials(places, draft=True), **site.pages(places)}
        navigation.write(places, sections)
        site.mkdocs(places, "serve", "--dev-addr", f"127.0.0.1:{options.port}")


if __name__ == "__main__":
    sys.exit(main())
