"""Every page is executed: its commands, its Python, its files, and what it says they print."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy
import pytest
from PIL import Image

from mmgraph import recipes
from tests.pages import ROOT, Block, Runner, blocks, commands, first_missing, fresh_environment

DOCS = ROOT / "docs"
WRITTEN_BY_THE_BUILD = ("generated", "tutorials")


def pages() -> list[Path]:
    """Return the pages that people write, as opposed to those that the build writes."""
    every = sorted(page.relative_to(DOCS) for page in DOCS.rglob("*.md"))
    return [page for page in every if page.parts[0] not in WRITTEN_BY_THE_BUILD or page.name == "index.md"]


def found(page: Path | str) -> list[Block]:
    return blocks((DOCS / page).read_text(encoding="utf-8"))


def executed(page: Path) -> bool:
    return any(block.runs and not in_the_readme(block) for block in found(page))


def quickstart(runner: Runner) -> None:
    """Leave what the quickstart leaves and prints, which the README's test runs: here it is the measured run.

    Beside it lies what a clone holds and pages read: the committed results.
    """
    from mmgraph.cli.evaluate import summary

    shutil.copytree(DOCS / "results", runner.folder / "docs" / "results")
    run = runner.folder / "runs" / "transfusion" / "0"
    run.mkdir(parents=True)
    shutil.copy(DOCS / "results" / "transfusion-0.json", run / "metrics.json")
    shutil.copy(recipes.find("transfusion"), run / "config.yaml")
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    lines = (f"trained to step {metrics['training']['steps']}: runs/transfusion/0", summary(metrics))
    runner.printed = "\n".join((*lines, "report: runs/transfusion/0/report.html"))


def in_the_readme(block: Block) -> bool:
    """Whether the README shows, and its test runs, the same costly commands: installing and the quickstart."""
    known = set(commands(blocks((ROOT / "README.md").read_text(encoding="utf-8"))))
    shown = commands([block])
    costly = any("mmgraph quickstart" in command or 'pip install -e ".' in command for command in shown)
    return bool(shown) and costly and set(shown) <= known


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("page", filter(executed, pages()), ids=str)
def test_a_page_gives_what_it_shows(page: Path, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    runner = Runner(folder, fresh_environment(tmp_path / "environment"))
    quickstart(runner)
    for block in found(page):
        if not (block.runs and in_the_readme(block)):
            runner.block(block)
    for picture in sorted((DOCS / "assets").glob("*.png")):
        if (folder / picture.name).is_file():
            alike(folder / picture.name, picture)


def alike(made: Path, shown: Path) -> None:
    """Assert that a picture which a page shows is the one that its command makes, up to rounding."""
    pixels = []
    for path in (made, shown):
        with Image.open(path) as opened:
            pixels.append(numpy.asarray(opened.convert("RGB"), dtype=float))
    assert pixels[0].shape == pixels[1].shape, f"{shown} is of another size than what the page's command makes"
    assert abs(pixels[0] - pixels[1]).mean() < 2, f"{shown} is not what the page's command makes; make it again"


@pytest.mark.parametrize("page", pages(), ids=str)
def test_blocks_are_of_a_kind_that_is_tested(page: Path) -> None:
    last = None
    for block in found(page):
        where = f"{page} line {block.line}"
        assert block.language, f"{where}: a block without a language"
        assert block.language not in ("sh", "shell", "console", "py"), f"{where}: say bash or python"
        if "output" in block.classes:
            assert last is not None, f"{where}: no block before it prints anything"
            assert last.runs or last.title, f"{where}: the block before it prints nothing"
        if "elsewhere" in block.classes:
            assert block.test, f"{where}: name the test that runs it"
            verb = next(word for word in shlex.split(commands([block])[0])[1:] if not word.startswith("-"))
            assert verb in (ROOT / block.test).read_text(encoding="utf-8"), f"{where}: {block.test} knows no '{verb}'"
        last = block


@pytest.mark.parametrize("page", pages(), ids=str)
def test_verbs_recipes_and_files_of_commands_exist(page: Path) -> None:
    from mmgraph import recipes
    from mmgraph.cli import VERBS

    own = {recipe for block in found(page) for recipe in re.findall(r"\b\w+_example\b", block.body)}
    for command in commands(found(page)):
        for part in re.split(r" && | \|\| |;", command):
            words = shlex.split(part)
            while words and "=" in words[0]:
                words = words[1:]
            if words[:1] != ["mmgraph"]:
                continue
            verb = next(word for word in words[1:] if not word.startswith("-") and not word.endswith(".py"))
            assert verb in VERBS, f"{page}: {part}"
            for name in (words[i + 1] for i, word in enumerate(words[:-1]) if word == "-c"):
                assert name.endswith(".yaml") or name in own or name in recipes.names(), f"{page}: {part}"


# -- the machinery ------------------------------------------------------------------------------------------


def test_blocks_are_read_as_they_are_written() -> None:
    text = (
        '```bash\nls \\\n  -l  # all\n```\n\n!!! note\n\n    ```python title="a b.py"\n    if 1:\n        x\n    ```\n'
        "\n```text { .output }\na\n```\n\n```{ .bash .fails }\nfalse\n```\n"
        '\n```bash { .elsewhere data-test="tests/x.py" }\nmmgraph demo\n```\n'
    )
    shown = [(block.language, block.classes, block.title, block.test, block.line) for block in blocks(text)]
    assert shown == [
        ("bash", (), None, None, 1),
        ("python", (), "a b.py", None, 8),
        ("text", ("output",), None, None, 13),
        ("bash", ("fails",), None, None, 17),
        ("bash", ("elsewhere",), None, "tests/x.py", 21),
    ]
    assert blocks(text)[1].body == "if 1:\n    x\n"
    assert [block.runs for block in blocks(text)] == [True, False, False, True, False]
    assert commands(blocks(text)) == ["ls    -l", "false", "mmgraph demo"]


@pytest.mark.parametrize(
    ("expected", "missing"),
    [
        ("b\nc  d\n", None),
        ("a … \nc d", "a …"),
        ("b\n…\nd 0.… %", "d 0.… %"),
        ("b\n…\ne 0.… %", None),
        ("c d\nb", "b"),
        ("c", "c"),
    ],
)
def test_what_is_shown_is_compared_line_by_line(expected: str, missing: str | None) -> None:
    assert first_missing(expected, "b\nc d\ne  0.5 %\n") == missing


def test_a_page_that_shows_too_much_fails(tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    (made, run, right, wrong, failing, silent) = blocks(
        '```text title="in/a.txt"\nhello\n```\n```bash\ncat in/a.txt\n```\n```text { .output }\nhello\n```\n'
        "```text { .output }\nbye\n```\n```bash { .fails }\ncat in/b.txt\n```\n```bash\ncat in/b.txt\n```\n"
    )
    for block in (made, run, right):
        runner.block(block)
    with pytest.raises(AssertionError, match="bye"):
        runner.block(wrong)
    runner.block(failing)
    with pytest.raises(AssertionError, match="ended with 1"):
        runner.block(silent)
