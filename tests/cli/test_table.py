"""Tables are cut for a terminal, and whole in a pipe."""

from __future__ import annotations

import os

import pytest

from mmgraph.cli import table as table_module
from mmgraph.cli.table import table

HEAD, ROW = ("recipe", "title"), ("short", "a title that is far longer than " + "any terminal " * 8)


def test_a_pipe_gets_every_word_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(table_module.sys.stdout, "isatty", lambda: False)
    assert table(HEAD, [ROW]).splitlines()[1].endswith(ROW[1].rstrip())


def test_a_terminal_gets_lines_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module.sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(table_module.shutil, "get_terminal_size", lambda *given, **named: os.terminal_size((70, 24)))
    lines = table(HEAD, [ROW]).splitlines()
    assert max(map(len, lines)) == 70
    assert lines[1].endswith("…")
    assert lines[1].startswith("short")
