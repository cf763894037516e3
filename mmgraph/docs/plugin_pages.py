"""The plugin catalogue: one page per kind, from the registry, the signatures and the docstrings."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

from mmgraph import registry
from mmgraph.docs.places import Places
from mmgraph.registry import Entry


def title(kind: str) -> str:
    """Return the heading of a kind's page."""
    return kind.replace("_", " ").capitalize()


def write(places: Places, folder: Path) -> list[tuple[str, str]]:
    """Write the catalogue; return (title, page) of each page, for the navigation."""
    folder = folder / "plugins"
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    pages = [("All kinds", "generated/plugins/index.md")]
    for kind in registry.CLASS_KINDS:
        entries = [entry for entry in registry.declared(kind) if entry.distribution == "mmgraph"]
        (folder / f"{kind}.md").write_text(_kind_page(kind, entries), encoding="utf-8")
        pages.append((title(kind), f"generated/plugins/{kind}.md"))
        listed = ", ".join(f"[`{entry.name}`]({kind}.md#{_anchor(entry)})" for entry in entries) or "none yet"
        rows.append(f"| [{title(kind)}]({kind}.md) | {_contract_sentence(kind)} | {listed} |")
    text = [
        "# Plugins\n",
        "Every part that comes with mmgraph, by kind. A YAML file names one as `class_path: mmgraph.KIND.NAME`, Python "
        "as `from mmgraph.KIND import NAME`. The terminal shows these and what else is installed with "
        "`mmgraph plugins list` and `mmgraph plugins show KIND.NAME`; "
        "[Write a plugin](../../howto/write-a-plugin.md) tells how to add one.\n",
        "| kind | contract | plugins |\n|---|---|---|",
        *rows,
    ]
    (folder / "index.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    return pages


def _contract_sentence(kind: str) -> str:
    module = importlib.import_module(f"mmgraph.{kind}")
    return _first_paragraph(module.__doc__ or "").replace(", and the lazy names of every installed one", "")


def _kind_page(kind: str, entries: list[Entry]) -> str:
    parts = [
        f"# {title(kind)}\n",
        f"{_contract_sentence(kind)} The contract, method by method: [`mmgraph.{kind}`][mmgraph.{kind}].\n",
    ]
    for entry in entries:
        parts.append(_entry_section(entry))
    if not entries:
        parts.append("No plugin of this kind is installed.\n")
    return "\n".join(parts)


def _anchor(entry: Entry) -> str:
    return f"{entry.kind}-{entry.name}".replace("_", "-")


def _entry_section(entry: Entry) -> str:
    found = entry.load()
    text = inspect.getdoc(found) or ""
    module = inspect.getdoc(inspect.getmodule(found)) or ""
    parts = [f"## `{entry.name}` {{ #{_anchor(entry)} }}\n", f"{_first_paragraph(text)}\n"]
    rows = _options(found, text)
    if rows:
        parts.append("| option | type | default | what it does |\n|---|---|---|---|\n" + "\n".join(rows) + "\n")
    else:
        parts.append("No options.\n")
    for paper in _papers(text, module):
        parts.append(f"**Paper:** {paper}\n")
    name = entry.target.replace(":", ".")
    parts.append(
        f"`class_path: mmgraph.{entry.kind}.{entry.name}` · [`{name}`][{name}] · {entry.distribution} {entry.version}\n"
    )
    return "\n".join(parts)


def _first_paragraph(text: str) -> str:
    return " ".join(inspect.cleandoc(text).split("\n\n")[0].split())


def _options(found: type, text: str) -> list[str]:
    """Return one table row per constructor option."""
    import docstring_parser

    described = {
        item.arg_name: " ".join((item.description or "").split()) for item in docstring_parser.parse(text).params
    }
    own = found.__dict__.get("__init__") or found.__init__  # type: ignore[misc]
    rows = []
    for option in list(inspect.signature(own).parameters.values())[1:]:
        default = "required" if option.default is option.empty else f"`{option.default!r}`"
        annotation = option.annotation
        shown = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
        shown = shown.strip("'").replace("typing.", "").replace("|", "\\|")
        what = described.get(option.name, "").replace("|", "\\|")
        rows.append(f"| `{option.name}` | `{shown}` | {default} | {what} |")
    return rows


def _papers(*texts: str) -> list[str]:
    """Return the `Reference:` lines, or else the sentence that cites an arXiv number."""
    found: list[str] = []
    for text in texts:
        match = re.search(r"^References?:\n((?:[ \t]+.*\n?)+)", text, flags=re.MULTILINE)
        if match:
            found.append(" ".join(match[1].split()))
    if not found:
        for text in texts:
            found += [f"{' '.join(each.split())}" for each in re.findall(r"[^.\n(]*\([^()]*arXiv[^()]*\)", text)]
    return list(dict.fromkeys(linked(paper) for paper in found))


def linked(text: str) -> str:
    """Return the text with `arXiv 2408.11039` turned into a link."""
    return re.sub(r"arXiv[: ](\d{4}\.\d{4,5})", r"[arXiv \1](https://arxiv.org/abs/\1)", text)
