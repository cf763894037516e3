"""The Python on the concept and teaching pages runs as it stands."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["concepts/graphs.md", "concepts/masks.md", "concepts/heads.md", "teach/quick-check.md"]
BLOCK = re.compile(r"^( *)```python\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def snippets() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        found += [(f"{page}-{n}", textwrap.dedent(code)) for n, (_, code) in enumerate(BLOCK.findall(text))]
    return found


@pytest.mark.parametrize(("name", "code"), snippets(), ids=[name for name, _ in snippets()])
def test_a_snippet_runs(
    name: str, code: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    exec(compile(code, name, "exec"), {})
    if name.startswith("concepts/heads"):
        assert "models codes" in capsys.readouterr().out


def test_every_question_has_a_folded_answer() -> None:
    page = (ROOT / "docs" / "teach" / "quick-check.md").read_text(encoding="utf-8")
    questions = re.findall(r"^\*\*(\d+)\. (.*?)\*\*\n\n(.*?)$", page, re.MULTILINE | re.DOTALL)
    assert [int(number) for number, _, _ in questions] == list(range(1, 15))
    assert all(after == '??? success "Answer"' for _, _, after in questions)


def test_a_week_without_its_tutorial_says_so() -> None:
    page = (ROOT / "docs" / "teach" / "syllabus.md").read_text(encoding="utf-8")
    written = {path.name[:2] for path in (ROOT / "tutorials").glob("[0-9][0-9]_*.py")}
    weeks = page.split("\n### Week ")[1:]
    assert len(weeks) == 12
    for week in weeks:
        for label in ("**Goals.**", "**Do.**", "**Read.**", "**Assignment", "**Grading hint.**"):
            assert label in week, (week.split("\n")[0], label)
        missing = re.search(r"(?:Without (?:its|their) tutorials?|no tutorial) \((.*?)\)", " ".join(week.split()))
        if missing:
            numbers = {
                f"{n:02}"
                for first, last in re.findall(r"(\d\d)(?: to (\d\d))?", missing[1])
                for n in range(int(first), int(last or first) + 1)
            }
            assert not numbers & written, f"{week.splitlines()[0]}: tutorial {numbers & written} is written by now"
        else:
            assert re.search(r"[Tt]utorials? (\d\d)|howto|evaluation", week), week.splitlines()[0]
