"""Find plugins by entry point, without importing them and without torch.

A package declares `[project.entry-points."mmgraph.<kind>"]`; nothing registers itself by being imported.
Contract modules (`mmgraph.heads`, ...) expose every installed plugin of their kind as a lazy attribute,
so `mmgraph.heads.flow` works in Python and as a `class_path` in YAML.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import json
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from mmgraph.errors import UsageError, nearest

GROUP = "mmgraph."
KINDS = (
    "tokenizers",
    "processors",
    "connectors",
    "blocks",
    "heads",
    "denoisers",
    "graph_samplers",
    "graph_encoders",
    "graph_injectors",
    "datasets",
    "metrics",
    "recipes",
    "zoo",
)
"""Extension points: one entry-point group `mmgraph.<kind>` each."""

CLASS_KINDS = tuple(kind for kind in KINDS if kind not in ("recipes", "zoo"))
"""Kinds whose entry points are classes; `recipes` and `zoo` name packages that hold files."""


class UnknownPluginError(UsageError):
    """No plugin of that kind has that name."""


class BrokenPluginError(UsageError):
    """The plugin's module cannot be imported; every other plugin keeps working."""


class DuplicatePluginError(UsageError):
    """Two distributions claim one name."""


@dataclass(frozen=True)
class Entry:
    """One declared plugin: where it is and who ships it."""

    kind: str
    name: str
    target: str  # "package.module:Class"
    distribution: str
    version: str

    def load(self) -> Any:
        """Import the plugin.

        Raises:
            BrokenPluginError: If its module or attribute cannot be imported.
        """
        point = importlib.metadata.EntryPoint(self.name, self.target, GROUP + self.kind)
        try:
            return point.load()
        except Exception as error:
            raise BrokenPluginError(
                f"plugin {self.kind}.{self.name} of distribution '{self.distribution}' {self.version} "
                f"cannot be imported ({self.target}): {type(error).__name__}: {error}. "
                f"Mend or uninstall '{self.distribution}'; the other plugins are not affected."
            ) from error


@functools.cache
def declared(kind: str) -> tuple[Entry, ...]:
    """Return every entry of a kind, sorted by name, duplicates included."""
    if kind not in KINDS:
        raise UnknownPluginError(f"unknown kind of plugin '{kind}'. {nearest(kind, KINDS)}")
    found = set()
    for point in importlib.metadata.entry_points(group=GROUP + kind):
        owner = (point.dist.name, point.dist.version) if point.dist else ("unknown", "")
        found.add(Entry(kind, point.name, point.value, *owner))
    return tuple(sorted(found, key=lambda entry: (entry.name, entry.distribution)))


def names(kind: str) -> list[str]:
    """Return the sorted names of a kind."""
    return sorted({entry.name for entry in declared(kind)})


def find(kind: str, name: str) -> Entry:
    """Return the one entry called `name`.

    Raises:
        UnknownPluginError: If there is none; the message offers the nearest name and the list.
        DuplicatePluginError: If two distributions claim the name.
    """
    matches = [entry for entry in declared(kind) if entry.name == name]
    if not matches:
        known = nearest(name, names(kind))
        raise UnknownPluginError(f"there is no plugin '{name}' in mmgraph.{kind}. {known}")
    if len(matches) > 1:
        claims = " and ".join(f"'{entry.distribution}' ({entry.target})" for entry in matches)
        raise DuplicatePluginError(
            f"two distributions claim mmgraph.{kind}.{name}: {claims}. "
            "Uninstall one, or rename its entry point."
        )
    return matches[0]


def load(kind: str, name: str) -> Any:
    """Import the plugin `name` of `kind`."""
    return find(kind, name).load()


def lazy(kind: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and `__dir__` of a contract module."""

    def get_plugin(name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return load(kind, name)
        except UnknownPluginError as error:
            raise AttributeError(str(error)) from None

    def list_plugins() -> list[str]:
        return names(kind)

    return get_plugin, list_plugins


def plugin_packages() -> set[str]:
    """Return the top-level packages that own an entry point (what YAML may import from)."""
    return {entry.target.split(":")[0].split(".")[0] for kind in KINDS for entry in declared(kind)}


def folder(entry: Entry) -> Path | None:
    """Return the folder of the package that an entry of `recipes` or `zoo` names, without importing it.

    None if the package is gone: one broken distribution must not hide the files of the others.
    """
    package, *rest = entry.target.split(".")
    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(place, *rest)
        if path.is_dir():
            return path
    return None


def source(module: str) -> Path | None:
    """Return a module's file; only its top-level package is looked up, since more would import it."""
    package, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin else None
    for place in spec.submodule_search_locations or ():
        base = Path(place, *rest)
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.is_file():
                return path
    return None


def duplicates() -> list[str]:
    """Return one line per name that two distributions claim."""
    lines = []
    for kind in KINDS:
        for name in names(kind) if kind in CLASS_KINDS else ():
            try:
                find(kind, name)
            except DuplicatePluginError as error:
                lines.append(str(error))
    return lines


def stale() -> list[str]:
    """Return one line per editable distribution whose pyproject and installed entry points differ.

    An editable install keeps the files live but not the entry-point table.
    """
    lines = []
    for name in sorted({entry.distribution for kind in KINDS for entry in declared(kind)}):
        source = _editable_source(name)
        if source is None:
            continue
        project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8")).get("project", {})
        wanted = {
            (group.removeprefix(GROUP), plugin, target)
            for group, table in project.get("entry-points", {}).items()
            if group.startswith(GROUP)
            for plugin, target in table.items()
        }
        entries = [entry for kind in KINDS for entry in declared(kind) if entry.distribution == name]
        installed = {(entry.kind, entry.name, entry.target) for entry in entries}
        changed = dict.fromkeys(sorted(f"{kind}.{plugin}" for kind, plugin, _ in wanted ^ installed))
        if changed:
            lines.append(
                f"{name}: {', '.join(changed)} changed in {source / 'pyproject.toml'} since it was "
                f"installed; run: pip install -e {source}"
            )
    return lines


def _editable_source(distribution: str) -> Path | None:
    """Return the source folder of an editable install, or None."""
    text = importlib.metadata.distribution(distribution).read_text("direct_url.json")
    if not text:
        return None
    record = json.loads(text)
    if not record.get("dir_info", {}).get("editable"):
        return None
    source = Path(unquote(urlparse(record["url"]).path))
    return source if (source / "pyproject.toml").is_file() else None
