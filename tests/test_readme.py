"""The README is executed: its commands in order, its plugin as written, its tree against the files."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    """Return every shell command, continued lines joined, comments dropped."""
    lines = "\n".join(blocks("bash")).replace("\\\n", " ").splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.strip()]


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
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = 0
    for command in commands():
        for part in command.split(" && "):
            if part.startswith(("pip ", "pytest")):
                continue
            done = subprocess.run(
                ["bash", "-c", part],
                cwd=tmp_path,
                env={**os.environ, "PATH": path},
                capture_output=True,
                text=True,
                timeout=2400,
            )
            assert done.returncode == 0, f"{part}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
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


def test_the_pages_show_no_command_that_the_readme_does_not_run() -> None:
    known = set(commands())
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for block in re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL):
            for line in filter(None, map(str.strip, block.splitlines())):
                assert line in known, f"{page.relative_to(ROOT)} shows a command that no test runs: {line}"
