"""The parts of `mkdocs.yml`'s navigation that follow from the sources, written between markers.

A static navigation needs no plugin, so any builder of the site can read it.
"""

from __future__ import annotations

import re

from mmgraph.docs.places import Places
from mmgraph.errors import UsageError


def updated(text: str, sections: dict[str, list[tuple[str, str]]]) -> str:
    """Return `mkdocs.yml` with each section between `# begin NAME` and `# end NAME` written anew.

    Raises:
        UsageError: If a section has no markers.
    """
    for name, pages in sections.items():
        pattern = re.compile(rf"^( *)# begin {name}\n.*?^ *# end {name}\n", flags=re.MULTILINE | re.DOTALL)
        match = pattern.search(text)
        if match is None:
            raise UsageError(f"mkdocs.yml lacks the lines '# begin {name}' and '# end {name}' in its navigation.")
        indent = match[1]
        lines = [f"{indent}- {_quoted(title)}: {page}\n" for title, page in pages]
        text = (
            text[: match.start()]
            + f"{indent}# begin {name}\n"
            + "".join(lines)
            + f"{indent}# end {name}\n"
            + text[match.end() :]
        )
    return text


def _quoted(title: str) -> str:
    return title if re.fullmatch(r"[\w ,.-]+", title) else '"' + title.replace("\\", "\\\\").replace('"', '\\"') + '"'


def write(places: Places, sections: dict[str, list[tuple[str, str]]]) -> None:
    """Bring `mkdocs.yml` up to date; leave the file alone if it is."""
    before = places.config.read_text(encoding="utf-8")
    after = updated(before, sections)
    if after != before:
        places.config.write_text(after, encoding="utf-8")
