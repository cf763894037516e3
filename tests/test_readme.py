"""The README is executed: its commands in order, its plugin as written, its tree against the files."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests import pages

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return [block.body for block in pages.blocks(README) if block.language == language]


def commands(*, run_here: bool = False) -> list[str]:
    found = pages.blocks(README)
    return pages.commands([block for block in found if block.runs or not run_here])


def test_the_two_commands_are_first_and_ci_installs_the_same_way() -> None:
    first, second = commands()[:2]
    assert first == "pip install -e . && mmgraph quickstart"
    assert second == 'pip install -e ".[test]" && pytest'
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(r'pip install [^\n]*-e "\.\[test', ci)


def test_every_entry_of_the_tree_exists_with_a_short_gloss() -> None:
    (tree,) = [block for block in blocks("text") if block.startswith("mmgraph/")]
    parents: list[str] = []
    for line in tree.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        names, gloss = (
            re.split(r"\s{2,}", line.strip(), maxsplit=1)
            if re.search(r"\S\s{2,}\S", line.strip())
            else (line.strip(), "")
        )
        assert gloss, f"no gloss: {line}"
        for name in names.split():
            path = ROOT.joinpath(*parents[:depth], name)
            assert path.exists(), f"the README's tree names {path.relative_to(ROOT)}, which is not there"
        parents[depth:] = [names.split()[0]]


def test_every_verb_in_the_readme_exists() -> None:
    from mmgraph.cli import VERBS

    for command in commands():
        words = shlex.split(command)
        if words[0] == "mmgraph":
            verb = next(w for w in words[1:] if not w.startswith("-") and not w.endswith(".py"))
            assert verb in VERBS


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_commands_run_in_order_as_written(tmp_path: Path) -> None:
    """The installs are done by who runs the tests (see `.ci/run`); everything else runs here, quickstart too."""
    (plugin,) = blocks("python")
    (tmp_path / plugin.splitlines()[0].removeprefix("# ")).write_text(plugin, encoding="utf-8")
    runner = pages.Runner(tmp_path, threads=None)
    ran = 0
    for command in commands(run_here=True):
        for part in command.split(" && "):
            if part.startswith(("pip ", "pytest")):
                continue
            runner.run(["bash", "-c", part], timeout=2400)
            ran += 1
    assert ran >= 8
    run = tmp_path / "runs" / "transfusion" / "0"
    for name in (
        "config.yaml",
        "metrics.json",
        "samples.png",
        "report.html",
        "model/model.safetensors",
        "logs/metrics.csv",
    ):
        assert (run / name).is_file(), f"quickstart left no {name}"
