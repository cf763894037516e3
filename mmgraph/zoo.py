"""Find trained models that packages ship, by name.

A package is named in the entry-point group `mmgraph.zoo`; each of its folders that holds `config.yaml` and
`model.safetensors` is an entry, referred to as `zoo:NAME`.
"""

from __future__ import annotations

import functools
from pathlib import Path

from mmgraph import registry
from mmgraph.errors import UsageError, nearest

FILES = ("config.yaml", "model.safetensors")


@functools.cache
def _table() -> dict[str, tuple[tuple[str, Path], ...]]:
    found: dict[str, list[tuple[str, Path]]] = {}
    for entry in registry.declared("zoo"):
        folder = registry.folder(entry)
        for path in sorted(folder.iterdir()) if folder else ():
            if all((path / file).is_file() for file in FILES):
                found.setdefault(path.name, []).append((entry.distribution, path))
    return {name: tuple(places) for name, places in sorted(found.items())}


def names() -> list[str]:
    """Return the names of all models in the zoo."""
    return list(_table())


def find(name: str) -> Path:
    """Return the folder of a model in the zoo.

    Raises:
        UsageError: If no package has it (the nearest name is offered), or two do (both are named).
    """
    places = _table().get(name)
    if places is None:
        raise UsageError(f"there is no model 'zoo:{name}'. {nearest(name, names())}")
    if len(places) > 1:
        claims = " and ".join(f"'{distribution}' ({path})" for distribution, path in places)
        raise UsageError(f"two packages have a model 'zoo:{name}': {claims}. Uninstall one.")
    return places[0][1]
