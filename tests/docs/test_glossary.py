"""The glossary's shape letters are those of the legend in `mmgraph/sequence.py`, and its words are sorted."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference" / "glossary.md").read_text(encoding="utf-8")


def legend() -> dict[str, str]:
    tree = ast.parse((ROOT / "mmgraph" / "sequence.py").read_text(encoding="utf-8"))
    text = " ".join((ast.get_docstring(tree) or "").partition("Shape letters")[2].partition(":")[2].split()).rstrip(".")
    return {entry.partition(" ")[0]: entry.partition(" ")[2] for entry in re.split(r", (?=[A-Za-z] )", text)}


def test_letters_are_those_of_the_legend() -> None:
    table = dict(re.findall(r"^\| (\w) \| (.+) \|$", PAGE, re.MULTILINE))
    assert table == legend()
    assert len(table) >= 14


def test_each_word_is_explained_once() -> None:
    words = [word for line in re.findall(r"^(\S.*)\n:   ", PAGE, re.MULTILINE) for word in line.split(", ")]
    assert len(words) == len({word.lower() for word in words}) > 50


def test_words_of_the_field_are_in_alphabetical_order() -> None:
    field = PAGE.partition("## Words of the field")[2]
    words = [line.lower() for line in re.findall(r"^(\S.*)\n:   ", field, re.MULTILINE)]
    assert words == sorted(words)
