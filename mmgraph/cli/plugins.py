"""`mmgraph plugins list|show|check|new`."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Sequence
from pathlib import Path

from mmgraph import registry
from mmgraph.cli.table import table
from mmgraph.errors import UsageError, nearest
from mmgraph.registry import Entry


def run(verb: str, argv: Sequence[str], *, debug: bool = False) -> int:
    """List, show, check or create plugins."""
    parser = argparse.ArgumentParser(
        prog="mmgraph plugins", description="List, show, check and create plugins.", allow_abbrev=False
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|show|check|new")
    listing = actions.add_parser("list", help="every installed plugin, without importing any")
    listing.add_argument("kind", nargs="?", metavar="KIND", help=f"one of {', '.join(registry.KINDS)}")
    show = actions.add_parser("show", help="options and documentation")
    check = actions.add_parser("check", help="hold plugins to the contract of their kind")
    for action in (show, check):
        action.add_argument("names", nargs="+", metavar="KIND.NAME|NAME|DISTRIBUTION")
    new = actions.add_parser("new", help="make a package with a working plugin, its test and a recipe")
    new.add_argument("kind", metavar="KIND", help=f"one of {', '.join(registry.CLASS_KINDS)}")
    new.add_argument("name", metavar="NAME", help="the alias, for example two_layer")
    new.add_argument("--out", type=Path, metavar="DIR", help="default: mmgraph-NAME")
    options = parser.parse_args(list(argv))
    if options.action == "list":
        return _list(options.kind)
    if options.action == "show":
        return _show(options.names)
    if options.action == "check":
        return _check(options.names)
    from mmgraph.cli.scaffold import create

    print(create(options.kind, options.name, options.out))
    return 0


def find(name: str) -> list[Entry]:
    """Return the plugins that `KIND.NAME`, a unique NAME or a distribution's name stands for.

    Raises:
        UsageError: If there is none, or a plain name has several kinds.
    """
    kind, dot, alias = name.partition(".")
    if dot and kind in registry.KINDS:
        return [registry.find(kind, alias)]
    every = [entry for kind in registry.KINDS for entry in registry.declared(kind)]
    owned = [entry for entry in every if _same_distribution(entry.distribution, name)]
    named = [entry for entry in every if entry.name == name]
    kinds = sorted({entry.kind for entry in named})
    kinds = [kind for kind in kinds if kind in registry.CLASS_KINDS] or kinds  # rarely are files meant
    if len(kinds) > 1:
        choices = " or ".join(f"{kind}.{name}" for kind in kinds)
        raise UsageError(f"'{name}' is the name of several plugins; say {choices}.")
    if named:
        return [registry.find(kinds[0], name)]
    if owned:
        return owned
    known = {entry.name for entry in every} | {entry.distribution for entry in every}
    known |= {f"{entry.kind}.{entry.name}" for entry in every}
    raise UsageError(f"there is no plugin or distribution '{name}'. {nearest(name, known).split(' Known:')[0]}")


def _same_distribution(left: str, right: str) -> bool:
    """Distribution names are equal up to case and the kind of dash."""
    return left.lower().replace("_", "-") == right.lower().replace("_", "-")


def _list(kind: str | None) -> int:
    kinds = registry.KINDS if kind is None else (kind,)
    rows = []
    for each in kinds:
        for entry in registry.declared(each):  # an unknown kind is refused here
            rows.append((each, entry.name, entry.distribution, entry.version, summary(entry)))
    print(table(("kind", "name", "distribution", "version", "what it is"), rows))
    for line in (*registry.duplicates(), *registry.stale()):
        print(f"note: {line}")
    return 0


def summary(entry: Entry) -> str:
    """Return the first line of a plugin's docstring, read from its source without importing it."""
    module, _, name = entry.target.partition(":")
    path = registry.source(module)
    if path is None:
        return f"(its module {module} is not installed)"
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return f"(its module {module} cannot be read)"
    found: ast.Module | ast.ClassDef = tree
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            found = node
    text = ast.get_docstring(found) or ""
    return text.partition("\n")[0]


def _show(names: Sequence[str]) -> int:
    import inspect

    for name in names:
        for entry in find(name):
            print(f"{entry.kind}.{entry.name}: {entry.target} ({entry.distribution} {entry.version})")
            if entry.kind not in registry.CLASS_KINDS:
                print(f"files: {registry.folder(entry)}\n")
                continue
            found = entry.load()
            print(f"YAML: class_path: {registry.GROUP}{entry.kind}.{entry.name}")
            for option in list(inspect.signature(found.__init__).parameters.values())[1:]:
                default = "required" if option.default is option.empty else repr(option.default)
                kind = inspect.formatannotation(option.annotation).strip("'")
                print(f"  {option.name} ({kind}): {default}")
            print(f"\n{inspect.getdoc(found) or ''}\n")
    return 0


def _check(names: Sequence[str]) -> int:
    entries = [entry for name in names for entry in find(name)]
    checked = [entry for entry in entries if entry.kind in registry.CLASS_KINDS]
    if not checked:
        raise UsageError(f"{', '.join(names)} holds no classes, and only classes have a contract to be checked.")
    from mmgraph import testing

    failed = 0
    for entry in checked:
        print(f"{entry.kind}.{entry.name}")
        for found in testing.check(entry.kind, entry.load()):
            mark = "FAIL" if found.error is not None else "ok  " if found.tried else "?   "
            print(f"  {mark} {found.name}" + (f": {found.error}" if found.error else ""))
            failed += found.error is not None
    print(f"{failed} broken promises" if failed else "every promise kept")
    return 1 if failed else 0
