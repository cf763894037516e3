"""Where the sources of the site lie, and where what is generated goes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmgraph.errors import UsageError

UNSEARCHED = "---\nsearch:\n  exclude: true\n---\n\n"
"""The head of a page that is left out of the search, whose index every visitor of the site loads."""


@dataclass(frozen=True)
class Places:
    """Folders and files of one checkout.

    Args:
        root: The folder that holds `mkdocs.yml`.
    """

    root: Path

    @property
    def config(self) -> Path:
        """The configuration of the site."""
        return self.root / "mkdocs.yml"

    @property
    def sources(self) -> Path:
        """The tutorials' sources."""
        return self.root / "tutorials"

    @property
    def cache(self) -> Path:
        """What running the tutorials gave."""
        return self.sources / ".cache"

    @property
    def docs(self) -> Path:
        """The pages."""
        return self.root / "docs"

    @property
    def tutorial_pages(self) -> Path:
        """Rendered tutorials, beside the hand-written `index.md`."""
        return self.docs / "tutorials"

    @property
    def generated(self) -> Path:
        """Pages made from the registry; nobody edits them."""
        return self.docs / "generated"

    @property
    def studies(self) -> Path:
        """Study files, whose rows lie with the results."""
        return self.docs / "studies"

    @property
    def results(self) -> Path:
        """Committed results of runs and studies."""
        return self.docs / "results"


def find(start: Path | None = None) -> Places:
    """Return the places of the checkout that holds `start` (default: the current folder, then this file).

    Raises:
        UsageError: If neither lies in a checkout.
    """
    for origin in (start,) if start else (Path.cwd(), Path(__file__)):
        for folder in (origin, *origin.resolve().parents):
            if (folder / "mkdocs.yml").is_file() and (folder / "tutorials").is_dir():
                return Places(folder.resolve())
    raise UsageError("mmgraph.docs builds the site of a checkout: run it in the folder that holds mkdocs.yml.")
