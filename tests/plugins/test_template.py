"""The template package in a fresh environment: its plugins are found, keep their contracts and train."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from mmgraph.cli.scaffold import create, template

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that sees this one's packages, so that nothing is downloaded."""
    root = tmp_path_factory.mktemp("fresh")
    venv.create(root / "env", with_pip=False)
    python = root / "env" / "bin" / "python"
    (packages,) = (root / "env" / "lib").glob("python*/site-packages")
    lines = [f"import site; site.addsitedir({folder!r})" for folder in site.getsitepackages()]
    (packages / "outer.pth").write_text("\n".join(lines) + "\n")
    shutil.copytree(template(), root / "template", ignore=shutil.ignore_patterns("__pycache__", "dist"))
    create("connectors", "third_party", root / "made")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-index"]
    for source in ("template", "made"):
        subprocess.run([*install, "--no-deps", "--no-build-isolation", str(root / source)], check=True)
    return root


def run(environment: Path, *arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [str(environment / "env" / "bin" / "python"), *arguments],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_plugins_are_found_and_keep_their_contracts(environment, tmp_path):
    listed = run(environment, "-m", "mmgraph", "plugins", "list", "connectors", cwd=tmp_path)
    assert "two_layer" in listed
    assert "third_party" in listed
    assert "mmgraph-template" in listed
    checked = run(environment, "-m", "mmgraph", "plugins", "check", "mmgraph-template", cwd=tmp_path)
    assert "every promise kept" in checked


def test_own_tests_pass(environment, tmp_path):
    tests = str(environment / "template" / "tests")
    assert "passed" in run(environment, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests, cwd=tmp_path)


@pytest.mark.parametrize("recipe", ["template_example", "third_party_example"])
def test_recipes_train_by_alias(environment, tmp_path, recipe):
    assert recipe in run(environment, "-m", "mmgraph", "recipes", "list", cwd=tmp_path)
    flags = [
        "--trainer.max_steps",
        "2",
        "--trainer.limit_val_batches",
        "1",
        "--data.init_args.batch_size",
        "4",
    ]
    told = run(environment, "-m", "mmgraph", "fit", "-c", recipe, *flags, cwd=tmp_path)
    assert "trained to step 2" in told
    run_directory = tmp_path / "runs" / recipe / "0"
    config = (run_directory / "model" / "config.yaml").read_text()
    assert f"mmgraph.connectors.{'two_layer' if recipe == 'template_example' else 'third_party'}" in config
    code = f"from mmgraph import models; print(type(models.load({str(run_directory)!r})).__name__)"
    assert "UnifiedModel" in run(environment, "-c", code, cwd=tmp_path)
