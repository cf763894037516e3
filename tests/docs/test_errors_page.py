"""The error catalogue against the source: every message has its entry, and every entry its message."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "errors.md"
BLANK = "…"
KINDS = {
    "UsageError",
    "RunError",
    "UnknownPluginError",
    "BrokenPluginError",
    "DuplicatePluginError",
    "RefusedImportError",
}


@functools.cache
def sources() -> list[tuple[Path, ast.Module]]:
    paths = (path for folder in ("mmgraph", "plugins") for path in sorted((ROOT / folder).rglob("*.py")))
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in paths if "template" not in path.parts]


def template(node: ast.expr) -> str:
    """Return a message with a blank for everything that changes."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return template(node.left) + template(node.right)
    return BLANK


def raised() -> dict[str, str]:
    """Return each message that an error is made with, and where."""
    found = {}
    for path, tree in sources():
        for node in ast.walk(tree):
            name = getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""
            if name in KINDS and isinstance(node, ast.Call) and node.args:
                message = template(node.args[0])
                if re.search(r"[a-z]{3}", message):  # others pass on what another function says
                    found[message] = f"{path.relative_to(ROOT)}:{node.lineno}"
    return found


def said() -> set[str]:
    """Return every text in the source, also those that a function gives to whoever raises."""
    return {
        template(node)
        for _, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, (ast.JoinedStr, ast.Constant)) and template(node).strip(BLANK + " ")
    }


def patterns() -> dict[str, re.Pattern[str]]:
    """Return the catalogued messages; each matches a message that begins like it."""
    lines = re.findall(r"^- (`+)(.+)\1$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {
        text.strip(): re.compile(".*".join(map(re.escape, text.strip().split(BLANK))), re.DOTALL) for _, text in lines
    }


def test_every_message_is_catalogued() -> None:
    known = list(patterns().values())
    missing = [f"{where}: {text}" for text, where in raised().items() if not any(p.match(text) for p in known)]
    assert not missing, "docs/reference/errors.md lacks:\n" + "\n".join(missing)


def test_every_entry_has_its_message() -> None:
    messages = {*raised(), *said()}
    stale = [text for text, pattern in patterns().items() if not any(pattern.match(message) for message in messages)]
    assert not stale, "no such message any more:\n" + "\n".join(stale)


def test_entries_say_something_and_each_section_says_cause_and_fix() -> None:
    found = patterns()
    assert len(found) > 100
    for text in found:
        assert len(re.findall(r"[A-Za-z]", text)) >= 4, f"'{text}' would match anything"
    page = PAGE.read_text(encoding="utf-8")
    for block in re.findall(r"(?:^- `[^\n]*\n)+\n?(.*?)(?=^#|\Z)", page, re.MULTILINE | re.DOTALL):
        assert "**Cause.**" in block, block
        assert "**Fix.**" in block, block
