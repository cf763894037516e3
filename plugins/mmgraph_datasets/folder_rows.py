"""Reads `captions.csv` or `captions.jsonl`: what each row says of a picture, and which say too little."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmgraph.errors import UsageError

NAMES = ("captions.csv", "captions.jsonl")
COLUMNS = ("file", "text", "question", "answer")


@dataclass
class Entry:
    """One picture and everything said of it.

    Args:
        file: Path relative to the root, with forward slashes.
        path: Where it is.
        texts: Captions, in the order of the rows.
        questions: Pairs of question and answer.
    """

    file: str
    path: Path
    texts: list[str] = field(default_factory=list)
    questions: list[tuple[str, str]] = field(default_factory=list)


def captions_file(root: Path, name: str | None) -> Path:
    """Return the file of captions.

    Raises:
        UsageError: If there is none, or one of each kind and no choice between them.
    """
    if not root.is_dir():
        raise UsageError(f"there is no folder {root} (option root).")
    found = [root / n for n in ((name,) if name else NAMES) if (root / n).is_file()]
    if not found:
        wanted = name or " or ".join(NAMES)
        raise UsageError(f"{root} has no {wanted}. Write one with the columns file,text (and question,answer).")
    if len(found) > 1:
        raise UsageError(f"{root} has both {' and '.join(NAMES)}; choose one with the option captions.")
    if found[0].suffix not in (".csv", ".jsonl"):
        raise UsageError(f"captions must be a .csv or .jsonl file, not {found[0].name}.")
    return found[0]


def read_rows(root: Path, file: Path) -> tuple[list[Entry], list[str]]:
    """Return the pictures that the rows name, and one line for each row that says too little.

    Raises:
        UsageError: If the file cannot be read as such, or a row names a file outside `root`.
    """
    entries: dict[str, Entry] = {}
    problems = []
    inside = root.resolve()
    try:
        for line, row in _csv(file) if file.suffix == ".csv" else _jsonl(file):
            if isinstance(row, str):
                problems.append(f"line {line}: {row}")
                continue
            values = {name: " ".join(str(row.get(name) or "").split()) for name in COLUMNS}
            asked = bool(values["question"] and values["answer"])
            missing = [] if values["file"] else ["file"]
            if not values["text"] and not asked:
                missing.append("text")
            missing += [n for n in ("question", "answer") if not values[n] and not asked and _half(values)]
            if missing:
                problems.append(f"line {line}: no {' and no '.join(missing)}")
            if not values["file"]:
                continue
            path = (inside / str(row["file"]).strip()).resolve()
            if not path.is_relative_to(inside):
                raise UsageError(
                    f"{file.name} line {line} names {values['file']}, which is outside {root}. "
                    "Pictures must lie in the folder."
                )
            if not values["text"] and not asked:
                continue
            name = path.relative_to(inside).as_posix()
            entry = entries.setdefault(name, Entry(name, path))
            if values["text"] and values["text"] not in entry.texts:
                entry.texts.append(values["text"])
            if asked:
                entry.questions.append((values["question"], values["answer"]))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{file} cannot be read: {error}. Save it as UTF-8.") from error
    return list(entries.values()), problems


def _half(values: Mapping[str, str]) -> bool:
    return bool(values["question"]) != bool(values["answer"])


def _csv(file: Path) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        columns = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = columns
        if "file" not in columns or not {"text", "question"} & set(columns):
            raise UsageError(f"{file} must begin with a line of column names, file,text; it has {','.join(columns)}.")
        for row in reader:
            yield reader.line_num, row


def _jsonl(file: Path) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    with file.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                yield number, f"not JSON ({error.msg})"
                continue
            yield number, row if isinstance(row, dict) else "not an object"
