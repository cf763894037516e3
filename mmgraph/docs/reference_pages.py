"""The API reference: one page per public module, which mkdocstrings fills from the docstrings."""

from __future__ import annotations

import ast
from pathlib import Path

from mmgraph.docs.places import UNSEARCHED, Places

BEHIND_COMMANDS = ("mmgraph.demo", "mmgraph.evaluation", "mmgraph.inspection")


def modules(places: Places) -> list[tuple[str, Path]]:
    """Return (dotted name, file) of each public module of mmgraph and the first-party plugins."""
    found = []
    roots = [places.root / "mmgraph", *sorted((places.root / "plugins").glob("mmgraph_*"))]
    for root in roots:
        for path in sorted(root.rglob("*.py")):
            parts = path.relative_to(root.parent).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            if any(part.startswith("_") for part in parts) or parts[:2] == ("mmgraph", "docs"):
                continue
            if parts == ("mmgraph", "cli") or parts[:2] != ("mmgraph", "cli"):
                found.append((".".join(parts), path))
    return [(name, path) for name, path in found if _says_something(path)]


def _searched(name: str) -> bool:
    """Contracts and models are found by the search; of plugins their catalogue is, of commands how they are used."""
    ours = name.partition(".")[0] == "mmgraph"
    return ours and not any(f"{name}.".startswith(f"{package}.") for package in BEHIND_COMMANDS)


def _says_something(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.ClassDef | ast.FunctionDef | ast.Assign | ast.AnnAssign) for node in tree.body)


def write(places: Places, folder: Path) -> list[tuple[str, str]]:
    """Write the reference; return (title, page) of its index, for the navigation."""
    folder = folder / "api"
    folder.mkdir(parents=True, exist_ok=True)
    groups: dict[str, list[str]] = {}
    for name, path in modules(places):
        page = f"# `{name}` {{ #{name} }}\n\n::: {name}\n    options:\n      show_root_toc_entry: false\n"
        (folder / f"{name}.md").write_text(page if _searched(name) else UNSEARCHED + page, encoding="utf-8")
        parts = name.split(".")
        group = ".".join(parts[:2]) if parts[0] == "mmgraph" and (path.parent.name != "mmgraph") else parts[0]
        summary = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
        groups.setdefault(group, []).append(f"| [`{name}`]({name}.md) | {summary.replace('|', chr(92) + '|')} |")
    text = [
        f"{UNSEARCHED}# API reference\n",
        "Every public module, from its docstrings. Shape letters: [Glossary](../../reference/glossary.md).\n",
    ]
    for group, rows in groups.items():
        text += [f"## {group}\n", "| module | what it is |\n|---|---|", *rows, ""]
    (folder / "index.md").write_text("\n".join(text), encoding="utf-8")
    return [("API reference", "generated/api/index.md")]
