"""Reads the JSON files that benchmarks come in, and counts what in them cannot be used.

Every failure says which file, where in it and what to do; single bad entries are left out and counted, and only
a file without one usable entry stops a run.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from mmgraph.errors import RunError, UsageError

NAMED = 5
"""Entries named one by one in a warning; the rest are counted."""
log = logging.getLogger(__name__)


def folder(root: str | Path, option: str = "root") -> Path:
    """Return a folder that an option names.

    Raises:
        UsageError: If there is none.
    """
    path = Path(root).expanduser()
    if not path.is_dir():
        raise UsageError(f"there is no folder {path} (option {option}).")
    return path


def first_of(root: Path, names: Iterable[str], what: str, option: str) -> Path:
    """Return the first of some files that a folder has.

    Raises:
        UsageError: If it has none of them, naming all.
    """
    wanted = list(names)
    for name in wanted:
        if (root / name).is_file():
            return root / name
    raise UsageError(
        f"{root} has no {what}: looked for {', '.join(wanted)}. Unpack the download there, or name the file "
        f"with the option {option}."
    )


def read_json(path: Path, *, shrink: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """Return what a JSON file holds.

    Args:
        path: The file.
        shrink: Called with every object as it is read; what it returns takes the object's place. Large
            files of small objects need a tenth of the memory so.

    Raises:
        RunError: If the file is empty, cut short, or no JSON.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            return json.load(file, object_hook=shrink)
    except json.JSONDecodeError as error:
        size = path.stat().st_size
        where = f"line {error.lineno}, column {error.colno}: {error.msg}" if size else "it is empty"
        raise RunError(
            f"{path} ({size:,} bytes) is no whole JSON file: {where}. Download or unpack it again."
        ) from error
    except UnicodeDecodeError as error:
        raise RunError(f"{path} is not UTF-8 text: {error}. Is it still packed? Unpack it.") from error


def listed(found: Any, key: str, path: Path) -> list[Any]:
    """Return the list under a key of a file's content.

    Raises:
        RunError: If it is missing, or empty.
    """
    values = found.get(key) if isinstance(found, Mapping) else None
    if not isinstance(values, list):
        keys = ", ".join(sorted(map(str, found))[:8]) if isinstance(found, Mapping) else type(found).__name__
        raise RunError(f"{path} has no list '{key}' (it has: {keys}). Is it the right file?")
    if not values:
        raise RunError(f"{path} has an empty list '{key}': nothing to train on or to score. Is it the right file?")
    return values


class LeftOut:
    """What could not be used, by reason: counted, the first few named.

    Args:
        what: What is counted, for example `train.json: questions left out`.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.counts: Counter[str] = Counter()
        self.named: dict[str, list[str]] = {}

    def add(self, reason: str, name: object) -> None:
        """Count one more."""
        self.counts[reason] += 1
        if self.counts[reason] <= NAMED:
            self.named.setdefault(reason, []).append(str(name))

    def warn(self) -> None:
        """Log one line per reason."""
        for reason, count in self.counts.items():
            more = f" and {count - NAMED:,} more" if count > NAMED else ""
            log.warning("%s (%s) %s: %s%s", self.what, f"{count:,}", reason, ", ".join(self.named[reason]), more)

    def nothing_left(self, where: object) -> RunError:
        """Return the error to raise where nothing usable is left."""
        told = "; ".join(
            f"{reason} ({count:,}), such as {self.named[reason][0]}" for reason, count in self.counts.items()
        )
        return RunError(f"{where} leaves no usable entry: {told or 'it is empty'}. Check root and the download.")
