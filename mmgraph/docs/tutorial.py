"""Read a tutorial: one jupytext percent file, which is the script, the test, the page and the notebook."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmgraph.errors import UsageError, nearest

NAME = re.compile(r"\d\d_[a-z0-9_]+")
TAGS = ("solution",)
METADATA = ("tags", "alt")
JUPYTEXT = ("title", "lines_to_next_cell", "lines_to_end_of_cell_marker", "cell_marker")  # its own bookkeeping


@dataclass(frozen=True)
class Cell:
    """One cell.

    Args:
        kind: `markdown` or `code`.
        source: Its text.
        alt: What each of its figures shows, in words.
        solution: Whether the page folds it.
        line: Its first line in the file.
    """

    kind: str
    source: str
    alt: tuple[str, ...] = ()
    solution: bool = False
    line: int = 0


@dataclass(frozen=True)
class Tutorial:
    """One tutorial: `slug` is the file's name without its ending, `NN_words`."""

    slug: str
    path: Path
    cells: tuple[Cell, ...] = field(repr=False)

    @property
    def number(self) -> str:
        """The two digits that order it."""
        return self.slug[:2]

    @property
    def title(self) -> str:
        """The heading, without its number."""
        match = re.match(r"# +(?:\d\d +)?(.+)", self.cells[0].source)
        if self.cells[0].kind != "markdown" or match is None:
            raise UsageError(f"{self.path.name}: the first cell must be markdown and start with '# NN Title'.")
        return match[1].strip()

    @property
    def code(self) -> tuple[Cell, ...]:
        """The cells that run."""
        return tuple(cell for cell in self.cells if cell.kind == "code")


def read(path: Path) -> Tutorial:
    """Read one file.

    Raises:
        UsageError: If its name, its tags or its metadata are none that the site knows.
    """
    import jupytext

    if not NAME.fullmatch(path.stem):
        raise UsageError(f"{path}: a tutorial is called NN_slug.py, two digits and lower-case words.")
    text = path.read_text(encoding="utf-8")
    starts = [number for number, line in enumerate(text.splitlines(), 1) if line.startswith("# %%")]
    notebook = jupytext.reads(text, fmt="py:percent")
    cells = []
    for position, cell in enumerate(notebook.cells):
        line = starts[position] if position < len(starts) else 0
        where = f"{path.name}, line {line}"
        cells.append(_cell(cell, line, where))
    if not cells:
        raise UsageError(f"{path} is empty.")
    return Tutorial(path.stem, path, tuple(cells))


def _cell(cell: Any, line: int, where: str) -> Cell:
    tags = cell.metadata.get("tags", [])
    for tag in tags:
        if tag not in TAGS:
            raise UsageError(
                f"{where}: a cell is tagged '{tag}'. {nearest(tag, TAGS)} Nothing of a tutorial is hidden."
            )
    for key in cell.metadata:
        if key not in METADATA + JUPYTEXT:
            raise UsageError(f"{where}: unknown metadata '{key}'. {nearest(key, METADATA)}")
    alt = cell.metadata.get("alt", ())
    alts = (alt,) if isinstance(alt, str) else tuple(alt)
    if cell.cell_type not in ("markdown", "code"):
        raise UsageError(f"{where}: a cell is either code or markdown, not {cell.cell_type}.")
    return Cell(cell.cell_type, cell.source, alts, "solution" in tags, line)


def paths(folder: Path, wanted: tuple[str, ...] = ()) -> list[Path]:
    """Return the tutorials' files in order, or those that `wanted` names by number or slug.

    Raises:
        UsageError: If a wanted one is not there.
    """
    every = sorted(folder.glob("[0-9][0-9]_*.py"))
    if not wanted:
        return every
    found = []
    for name in wanted:
        chosen = [path for path in every if name in (path.stem, path.stem[:2])]
        if not chosen:
            raise UsageError(f"there is no tutorial '{name}'. {nearest(name, [path.stem for path in every])}")
        found += chosen
    return found
