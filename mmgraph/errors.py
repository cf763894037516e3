"""The two ways a command may fail, told apart by exit status.

Every message says what happened, where, and what to do; the CLI prints it without a traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UsageError(ValueError):
    """Wrong usage or configuration: the command exits with status 2."""


class RunError(RuntimeError):
    """A failure while running (data, disk, NaN): the command exits with status 1."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "Did you mean 'x'? Known: a, b, c." for an unknown name."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    return f"{hint}Known: {', '.join(names) if names else 'none'}."
