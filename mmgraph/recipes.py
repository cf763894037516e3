"""Find recipes, the YAML files that packages ship, without importing torch.

A package is named in the entry-point group `mmgraph.recipes`; each `*.yaml` in it is a recipe. Its header
comment says what it is: a title in the first line, then paper, time, memory and the expected number.
"""

from __future__ import annotations

import functools
from pathlib import Path

from mmgraph import registry
from mmgraph.errors import UsageError, nearest


@functools.cache
def _table() -> dict[str, tuple[tuple[str, Path], ...]]:
    """Return the (distribution, file) pairs of each recipe's name."""
    found: dict[str, list[tuple[str, Path]]] = {}
    for entry in registry.declared("recipes"):
        folder = registry.folder(entry)
        for path in sorted(folder.glob("*.yaml")) if folder else ():
            found.setdefault(path.stem, []).append((entry.distribution, path))
    return {name: tuple(places) for name, places in sorted(found.items())}


def names() -> list[str]:
    """Return the names of all installed recipes."""
    return list(_table())


def find(name: str) -> Path:
    """Return the file of a recipe.

    Raises:
        UsageError: If no package has it (the nearest name is offered), or two do (both are named).
    """
    found = places(name)
    if not found:
        known = nearest(name, names())
        raise UsageError(f"there is no recipe '{name}'. {known} A file is given as PATH.yaml.")
    if len(found) > 1:
        claims = " and ".join(f"'{owner}' ({path})" for owner, path in found)
        raise UsageError(f"two packages have a recipe '{name}': {claims}. Give the path of the one you mean.")
    return found[0][1]


def places(name: str) -> tuple[tuple[str, Path], ...]:
    """Return the (distribution, file) of every package that has a recipe of this name."""
    return _table().get(name, ())


def distribution(name: str) -> str:
    """Return who ships a recipe; several names if several packages claim it."""
    return ", ".join(owner for owner, _ in places(name))


def header(path: Path) -> list[str]:
    """Return the lines of a recipe's header comment."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("#").strip())
    return lines


def title(path: Path) -> str:
    """Return the one-line title of a recipe."""
    lines = header(path)
    return lines[0] if lines else ""


def description(path: Path) -> str:
    """Return what the header says after the title: paper, time, memory, expected number."""
    return "\n".join(header(path)[1:]).strip()
