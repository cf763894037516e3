"""The template package in a fresh environment: its plugins are found, keep their contracts and train."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mmgraph import registry
from mmgraph.cli.scaffold import WITHOUT_RECIPE, create, template
from tests.pages import fresh_environment

pytestmark = pytest.mark.slow

KINDS = tuple(
    group.removeprefix(registry.GROUP)
    for group in tomllib.loads((template() / "pyproject.toml").read_text())["project"]["entry-points"]
    if group != "mmgraph.recipes"
)
RECIPES = ("template_example", *(f"my_{kind}_example" for kind in KINDS if kind not in WITHOUT_RECIPE))


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that sees this one's packages, so that nothing is downloaded."""
    root = tmp_path_factory.mktemp("fresh")
    python = fresh_environment(root / "env") / "python"
    shutil.copytree(template(), root / "template", ignore=shutil.ignore_patterns("__pycache__", "dist"))
    for kind in KINDS:
        create(kind, f"my_{kind}", root / kind)
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-index"]
    sources = [str(root / source) for source in ("template", *KINDS)]
    subprocess.run([*install, "--no-deps", "--no-build-isolation", *sources], check=True)
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
    assert "my_connectors" in listed
    assert "mmgraph-template" in listed
    names = ["mmgraph-template", *(f"{kind}.my_{kind}" for kind in KINDS)]
    checked = run(environment, "-m", "mmgraph", "plugins", "check", *names, cwd=tmp_path)
    assert "every promise kept" in checked
    assert all(f"{kind}.my_{kind}\n" in checked for kind in KINDS)


def test_own_tests_pass(environment, tmp_path):
    tests = str(environment / "template" / "tests")
    assert "passed" in run(environment, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests, cwd=tmp_path)


TRAIN = """
import sys
from mmgraph import models
from mmgraph.cli import training

for recipe in sys.argv[1:]:
    flags = ["--trainer.max_steps", "2", "--trainer.limit_val_batches", "1", "--data.init_args.batch_size", "4"]
    assert training.run("fit", ["-c", recipe, *flags]) == 0
    assert type(models.load(f"runs/{recipe}/0")).__name__ == "UnifiedModel"
"""


def test_recipes_train_by_alias_with_their_own_part(environment, tmp_path):
    listed = run(environment, "-m", "mmgraph", "recipes", "list", cwd=tmp_path)
    assert all(recipe in listed for recipe in RECIPES)
    told = run(environment, "-c", TRAIN, *RECIPES, cwd=tmp_path)
    assert told.count("trained to step 2") == len(RECIPES)
    for recipe in RECIPES[1:]:
        kind = recipe.removeprefix("my_").removesuffix("_example")
        assert f"mmgraph.{kind}.my_{kind}" in (tmp_path / "runs" / recipe / "0" / "config.yaml").read_text()
