"""Tables and lists that fit 100 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

WIDTH = 100
_NAME = 14


def number(value: float) -> str:
    """Return a large number with a unit prefix, three figures."""
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g} {prefix}"
    return f"{value:.3g}"


def table(title: str, *columns: str, right: Sequence[str] = ()) -> Table:
    """Return an empty table; columns in `right` are flushed right."""
    made = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="", pad_edge=False, padding=(0, 1))
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def cut(text: str, width: int) -> str:
    """Return a text, its end left out where it is too long."""
    return text if len(text) <= width else text[: width - 1] + "…"


def lines(*pairs: tuple[str, str]) -> Text:
    """Return names and what is said of them, wrapped in a column of its own."""
    found = []
    for name, said in pairs:
        wrapped = textwrap.wrap(said, WIDTH - _NAME, break_long_words=False) or [""]
        found += [f"{name if k == 0 else '':<{_NAME}}{line}" for k, line in enumerate(wrapped)]
    return Text("\n".join(found))
