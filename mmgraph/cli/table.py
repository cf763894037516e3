"""Plain columns, without the import time of a table library."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return aligned columns; on a terminal the widest text is cut where it ends, in a file or a pipe nothing is."""
    lines = [tuple(head), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    if sys.stdout.isatty():
        room = max(60, shutil.get_terminal_size().columns)
        widest = widths.index(max(widths))
        widths[widest] = max(20, min(widths[widest], room - sum(widths) + widths[widest] - 2 * (len(head) - 1)))
    shown = []
    for line in lines:
        cells = [_cut(cell, width).ljust(width) for cell, width in zip(line, widths, strict=True)]
        shown.append("  ".join(cells).rstrip())
    return "\n".join(shown)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
