"""`mmgraph cite`: BibTeX for mmgraph and for the parts that a configuration or a run uses."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from mmgraph import citations, recipes, registry
from mmgraph.cli import rundir
from mmgraph.cli.training import find_config
from mmgraph.errors import UsageError


def run(verb: str, argv: Sequence[str], *, debug: bool = False) -> int:
    """Print what to cite."""
    parser = argparse.ArgumentParser(
        prog="mmgraph cite",
        description="Print BibTeX for mmgraph and for the papers of the parts that a configuration or a run uses.",
        allow_abbrev=False,
    )
    parser.add_argument("config", nargs="?", metavar="CONFIG", help="a recipe's name or FILE.yaml")
    parser.add_argument("--run", type=Path, metavar="DIR", help="a run directory; its metrics are cited too")
    options = parser.parse_args(list(argv))
    if (options.config is None) == (options.run is None):
        raise UsageError("say what to cite: 'mmgraph cite CONFIG' or 'mmgraph cite --run DIR'.")
    print("\n".join(document(options.config, options.run)))
    return 0


def document(config: str | None, folder: Path | None) -> list[str]:
    """Return the lines of the BibTeX document."""
    path = folder / rundir.CONFIG if folder is not None else find_config(str(config))
    values = read(path)
    lines = ["% mmgraph, and the survey whose paradigms it follows"]
    lines += citations.own() or [f"% {citations.CITATION} is not part of this installation"]
    printed: set[str] = set()
    for label, package, references in (*_recipe(path), *_parts(values), *(_measured(folder) if folder else ())):
        for reference in references:
            found = citations.resolve(reference, package)
            if found is None:
                lines += ["", f"% {label}: {reference}", f"%   has no entry in {package}/{citations.FILE}"]
            elif found.key not in printed:
                printed.add(found.key)
                lines += ["", f"% {label}", found.text]
    return lines


def read(path: Path) -> dict[str, Any]:
    """Return what a configuration file holds.

    Raises:
        UsageError: If it cannot be read or holds no configuration.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path} holds no configuration: expected keys such as model, data and trainer.")
    return values


def _recipe(path: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Yield the paper that a recipe's header names."""
    name = rundir.recipe_name(path)
    for _, file in recipes.places(name)[:1]:
        packages = {entry.target for entry in registry.declared("recipes") if registry.folder(entry) == file.parent}
        papers = [line.removeprefix("Paper:").strip() for line in recipes.header(file) if line.startswith("Paper:")]
        yield f"recipe {name}", next(iter(packages)).partition(".")[0], [line for line in papers if line]


def _parts(values: dict[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    for path in dict.fromkeys(citations.parts(values)):
        part = citations.locate(path)
        if part is not None:
            yield path, part.package, part.references


def _measured(folder: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Yield the metrics that gave the scores of a run's metrics.json."""
    path = folder / "metrics.json"
    if not path.is_file():
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        tables = [table for name in ("generation", "captioning") for table in (found.get(name) or {}).values()]
    except (json.JSONDecodeError, AttributeError) as error:
        raise UsageError(f"{path} is no JSON ({error}); evaluate the run again.") from error
    given = {name for table in tables for name in table}
    for name in registry.names("metrics") if given else ():
        part = citations.locate(f"mmgraph.metrics.{name}")
        if part is not None and any(citations.gives(part, score) for score in given):
            yield f"mmgraph.metrics.{name}", part.package, part.references
    features = citations.locate("mmgraph.evaluation.features")
    if given and features is not None:
        yield "the features of the metrics", features.package, features.references
