"""What to cite for a part: its docstring's `Reference:` section, looked up in its package's `references.bib`.

A docstring says whom it owes in words that a reader can follow, with an identifier: an arXiv number, a DOI or a web
address. The BibTeX of everything a package refers to stands in one file, `references.bib`, beside its modules. No part
is imported and no torch: docstrings are read from source files.
"""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mmgraph import registry

FILE = "references.bib"
CITATION = "CITATION.cff"
_IDENTIFIERS = re.compile(
    r"arXiv[:\s]*(?P<arxiv>\d{4}\.\d{4,5})|doi[:\s]*(?P<doi>10\.\d{4,}/[^\s,;)]+)|(?P<url>https?://[^\s,;)]+)",
    re.IGNORECASE,
)
_FIELD = re.compile(r"^\s*(\w+)\s*=\s*[{\"](.*?)[}\"],?\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Citation:
    """One entry of a `references.bib`.

    Args:
        key: Its BibTeX key.
        text: The entry as it stands in the file.
        identifiers: Its arXiv number, DOI and address.
    """

    key: str
    text: str
    identifiers: frozenset[str]


@dataclass(frozen=True)
class Part:
    """A class or module as its source file has it.

    Args:
        path: Dotted path, such as `mmgraph_heads.flow.FlowHead`.
        package: Its top-level package.
        node: The syntax tree of the class, or of the module where no class is meant.
        module: The syntax tree of the module it stands in.
    """

    path: str
    package: str
    node: ast.Module | ast.ClassDef
    module: ast.Module

    @property
    def references(self) -> list[str]:
        """The lines of the docstring's `Reference:` section."""
        return section(ast.get_docstring(self.node) or "")


def section(docstring: str) -> list[str]:
    """Return the references of a docstring, one for each line at the section's first indentation."""
    found: list[str] = []
    lines = iter(docstring.splitlines())
    first = next((line for line in lines if re.match(r"References?:", line)), "")
    rest = first.partition(":")[2].strip()
    if rest:
        found.append(rest)
    indent: int | None = None
    for line in lines if first else ():
        text = line.strip()
        depth = len(line) - len(line.lstrip())
        if not text or depth == 0:
            break
        indent = depth if indent is None else indent
        if depth > indent or (rest and indent == depth):  # a reference that runs over its line
            found[-1] += " " + text
        else:
            found.append(text)
    return found


def identifiers(reference: str) -> list[str]:
    """Return the arXiv numbers, DOIs and addresses that a reference names."""
    return [_plain(match[match.lastgroup or 0]) for match in _IDENTIFIERS.finditer(reference)]


def _plain(identifier: str) -> str:
    return re.sub(r"^https?://", "", identifier).rstrip("./").lower()


def parse(text: str) -> list[Citation]:
    """Return the entries of a BibTeX file; an entry ends at a closing brace that stands alone."""
    found = []
    for match in re.finditer(r"^@\w+\{([^,\s]+),\n.*?^\}$", text, re.MULTILINE | re.DOTALL):
        fields = dict(_FIELD.findall(match[0]))
        named = (_plain(fields[name]) for name in ("eprint", "doi", "url") if name in fields)
        found.append(Citation(match[1], match[0], frozenset(named)))
    return found


def bibliography(package: str) -> list[Citation]:
    """Return what a package may refer to: its own entries, then those of the packages it is shipped with, then ours."""
    entries = [entry for kind in registry.KINDS for entry in registry.declared(kind)]
    shipped = {(entry.distribution, re.split(r"[.:]", entry.target)[0]) for entry in entries}
    owners = {owner for owner, name in shipped if name == package}
    beside = sorted({name for owner, name in shipped if owner in owners} - {package})
    return [citation for name in dict.fromkeys((package, *beside, "mmgraph")) for citation in _entries(name)]


@functools.cache
def _entries(package: str) -> tuple[Citation, ...]:
    place = registry.source(package)
    file = place.parent / FILE if place is not None else None
    return tuple(parse(file.read_text(encoding="utf-8"))) if file is not None and file.is_file() else ()


def resolve(reference: str, package: str) -> Citation | None:
    """Return the entry that a reference names, or None."""
    wanted = set(identifiers(reference))
    return next((entry for entry in bibliography(package) if wanted & entry.identifiers), None)


# -- parts --------------------------------------------------------------------------------------------------


def locate(path: str) -> Part | None:
    """Return the part that a `class_path` names, or a module; None if there is no source to read.

    Args:
        path: `mmgraph.heads.flow`, `my_package.heads.MyHead`, `mmgraph.evaluation.features`.

    Raises:
        UnknownPluginError: If it names a plugin that is not installed.
    """
    parts = path.split(".")
    if parts[0] == "mmgraph" and len(parts) == 3 and parts[1] in registry.CLASS_KINDS:
        entry = registry.find(parts[1], parts[2])
        module, _, name = entry.target.partition(":")
        return _find(module, name)
    if registry.source(path) is not None:
        return _find(path, None)
    return _find(".".join(parts[:-1]), parts[-1])


def _find(module: str, name: str | None) -> Part | None:
    """Return a class of a module, following the imports by which a package passes it on."""
    file = registry.source(module)
    if file is None or file.suffix != ".py":
        return None
    tree = ast.parse(file.read_text(encoding="utf-8"))
    package = module.partition(".")[0]
    if name is None:
        return Part(module, package, tree, tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == name:
            return Part(f"{module}.{name}", package, node, tree)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if (alias.asname or alias.name) == name and node.module != module:
                    return _find(node.module, alias.name)
    return None


def parts(config: Any) -> Iterator[str]:
    """Yield the class paths of a configuration, in its order, with those of plain options that have a class."""
    if isinstance(config, dict):
        path = config.get("class_path")
        if isinstance(path, str):
            yield path
            yield from _options(path, config.get("init_args") or {})
        for value in config.values():
            yield from parts(value)
    elif isinstance(config, list):
        for value in config:
            yield from parts(value)


def _options(path: str, given: dict[str, Any]) -> Iterator[str]:
    """Yield the classes that a part's signature gives to options written as plain mappings."""
    part = locate(path)
    for node in ast.walk(part.node) if part is not None else ():
        if not (isinstance(node, ast.FunctionDef) and node.name == "__init__"):
            continue
        for argument in (*node.args.args, *node.args.kwonlyargs):
            value = given.get(argument.arg)
            if isinstance(value, dict) and "class_path" not in value and isinstance(argument.annotation, ast.Name):
                for found in ast.walk(part.module) if part is not None else ():
                    names = {alias.name for alias in found.names} if isinstance(found, ast.ImportFrom) else set()
                    if argument.annotation.id in names:
                        yield f"{found.module}.{argument.annotation.id}"  # type: ignore[attr-defined]


def gives(part: Part, score: str) -> bool:
    """Whether a metric gives a score of this name: one of the keys of its `meanings`."""
    for node in part.node.body:
        named = isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "meanings" for target in node.targets)
        for key in _keys(node.value) if isinstance(node, ast.Assign) and named else ():
            pieces = key.values if isinstance(key, ast.JoinedStr) else [key]
            text = "".join(re.escape(str(p.value)) if isinstance(p, ast.Constant) else ".+" for p in pieces)
            if re.fullmatch(text, score):
                return True
    return False


def _keys(table: ast.expr) -> list[ast.expr]:
    if isinstance(table, ast.DictComp):
        return [table.key]
    return [key for key in table.keys if key is not None] if isinstance(table, ast.Dict) else []


# -- mmgraph itself ---------------------------------------------------------------------------------------------


def own() -> list[str]:
    """Return BibTeX for mmgraph and for what its `CITATION.cff` refers to; nothing if that file is not installed."""
    checkout = Path(__file__).resolve().parents[1] / CITATION
    places = [checkout] if checkout.is_file() else []
    for file in () if places else importlib.metadata.files("mmgraph") or ():
        if file.parts[-2:] == ("mmgraph", CITATION):
            places.append(Path(str(file.locate())))
    if not places:
        return []
    record = yaml.safe_load(places[0].read_text(encoding="utf-8"))
    return [_bibtex(entry) for entry in (record, *record.get("references", ()))]


def _bibtex(record: dict[str, Any]) -> str:
    people = record["authors"]
    names = [
        f"{{{person['name']}}}" if "name" in person else ", ".join(_name(person)) for person in people
    ]
    arxiv = re.search(r"\d{4}\.\d{4,5}", str(record.get("notes", "")))
    year = str(record.get("year") or str(record.get("date-released", ""))[:4])
    fields = {
        "title": f"{{{record['title']}}}",
        "author": " and ".join(names),
        "year": year,
        "version": str(record.get("version", "")),
        "eprint": arxiv[0] if arxiv else "",
        "archivePrefix": "arXiv" if arxiv else "",
        "url": str(record.get("repository-code") or record.get("url") or ""),
    }
    software = record.get("type") == "software"
    key = "mmgraph" if software else _name(people[0])[0].lower() + year
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join((f"@{'software' if software else 'misc'}{{{key},", *lines, "}"))


def _name(person: dict[str, str]) -> list[str]:
    return [person[part] for part in ("family-names", "given-names") if part in person]
