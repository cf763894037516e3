from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from mmgraph.cli import _import_plugins, main
from tests.third_party import distribution  # noqa: F401 - a fixture

HERE = Path(__file__).parent


@dataclass
class Result:
    status: int
    out: str
    err: str


@pytest.fixture
def command(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Run `mmgraph` in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Result:
        capfd.readouterr()
        status = main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Result(status, captured.out, captured.err)

    return run


@pytest.fixture
def tiny(command: Callable[..., Result]) -> Callable[..., Result]:
    """Run `mmgraph VERB -c tiny.yaml ...` with the tiny model and data set."""
    _import_plugins(str(HERE / "tiny.py"))

    def run(verb: str, *arguments: object, config: Path = HERE / "tiny.yaml") -> Result:
        return command("--plugins", HERE / "tiny.py", verb, "-c", config, *arguments)

    return run


@pytest.fixture
def process(tmp_path: Path) -> Callable[..., Result]:
    """Run `python -m mmgraph` in a process of its own."""

    def run(*arguments: object, **environment: str) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "mmgraph", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run
