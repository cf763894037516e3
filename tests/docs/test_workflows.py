"""The hosted workflows: valid YAML whose every command exists, and the same commands as here."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TOOLS = {"git", "bash", "python", "mike"}  # mike is installed by the workflow itself, and named in its install line


def runs(path: Path) -> list[str]:
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_workflow_is_whole(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["name"]
    assert workflow[True]  # the key `on`, as YAML 1.1 reads it
    for job in workflow["jobs"].values():
        assert job["runs-on"]
        assert all(("run" in step) != ("uses" in step) for step in job["steps"])
        for step in job["steps"]:
            assert "uses" not in step or re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_command_of_a_workflow_exists(path: Path) -> None:
    commands = runs(path)
    assert commands
    for command in commands:
        words = shlex.split(command)
        assert words[0] in TOOLS
        if words[0] == "bash":
            assert (ROOT / words[1]).is_file()
        if words[:2] == ["python", "-m"]:
            assert importlib.util.find_spec(words[2]), command
        if words[0] == "mike":
            assert any("pip install" in other and "mike" in shlex.split(other) for other in commands)
        for extra in re.findall(r"\.\[([a-z,]+)\]", command):
            project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
            assert all(re.search(rf"^{name} = \[", project, flags=re.MULTILINE) for name in extra.split(","))


def test_the_command_that_builds_knows_its_verbs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mmgraph.docs", "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    for verb in ("build", "tutorials", "pages", "pictures", "serve"):
        assert verb in done.stdout
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "python -m mmgraph.docs build" in script
    assert "python -m mmgraph.docs build" in runs(ROOT / ".github" / "workflows" / "docs.yml")
