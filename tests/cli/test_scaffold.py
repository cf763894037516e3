"""`mmgraph plugins new`: what it makes works as it is."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib

import pytest
import yaml

from mmgraph.cli.scaffold import WITHOUT_RECIPE, create, template
from mmgraph.registry import CLASS_KINDS

HEADER = ("Paper", "Shows", "Time", "Memory", "Expect")


def test_template_has_every_kind():
    points = tomllib.loads((template() / "pyproject.toml").read_text())["project"]["entry-points"]
    assert set(points) == {f"mmgraph.{kind}" for kind in (*CLASS_KINDS, "recipes")}
    for table in points.values():
        for target in table.values():
            module = target.partition(":")[0].replace(".", "/")
            assert (template() / f"{module}.py").is_file() or (template() / module).is_dir()


@pytest.mark.parametrize("kind", CLASS_KINDS)
def test_new_package_declares_one_plugin_and_names_nothing_of_the_template(tmp_path, kind):
    told = create(kind, "my_part", tmp_path / "out")
    assert f"mmgraph plugins check {kind}.my_part" in told
    files = {path.relative_to(tmp_path / "out"): path.read_text() for path in (tmp_path / "out").rglob("*.*")}
    project = tomllib.loads((tmp_path / "out" / "pyproject.toml").read_text())["project"]
    assert project["name"] == "mmgraph-my-part"
    target = project["entry-points"][f"mmgraph.{kind}"]["my_part"]
    module, _, name = target.partition(":")
    assert module == "mmgraph_my_part.my_part"
    assert name.startswith("MyPart")
    assert f"class {name}(" in (tmp_path / "out" / "mmgraph_my_part" / "my_part.py").read_text()
    assert set(project["entry-points"]) <= {f"mmgraph.{kind}", "mmgraph.recipes"}
    for path, text in files.items():
        for word in ("mmgraph_template", "mmgraph-template", "template_example", "in place of"):
            assert word not in text, path
        if path.suffix == ".py":
            compile(text, str(path), "exec")
    recipes = [path for path in files if path.suffix == ".yaml"]
    assert len(recipes) == (kind not in WITHOUT_RECIPE)
    for path in recipes:
        assert f"mmgraph.{kind}.my_part" in str(yaml.safe_load(files[path]))
        assert all(f"# {field}:" in files[path] or f" {field}:" in files[path] for field in HEADER)


@pytest.mark.parametrize(
    ("kind", "name", "told"),
    [
        ("conectors", "mine", "Did you mean 'connectors'"),
        ("recipes", "mine", "there is no template"),
        ("connectors", "My-Part", "small letters"),
        ("connectors", "class", "small letters"),
        ("connectors", "linear", "exists already (in 'mmgraph')"),
    ],
)
def test_wrong_requests_are_refused(command, kind, name, told):
    result = command("plugins", "new", kind, name)
    assert result.status == 2
    assert told in result.err


def test_existing_folder_is_left_alone(command, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("")
    result = command("plugins", "new", "connectors", "my_part", "--out", "mine")
    assert result.status == 2
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["file"]
    assert command("plugins", "new", "connectors", "my_part").status == 0
    assert (tmp_path / "mmgraph-my-part" / "pyproject.toml").is_file()


@pytest.mark.slow
def test_tests_of_new_packages_pass(tmp_path):
    for kind in CLASS_KINDS:
        create(kind, f"my_{kind}", tmp_path / kind)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *CLASS_KINDS],
        cwd=tmp_path,
        env={
            "PYTHONPATH": os.pathsep.join(str(tmp_path / kind) for kind in CLASS_KINDS),
            "PATH": "",
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert f"{2 * len(CLASS_KINDS)} passed" in done.stdout
