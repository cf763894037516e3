"""The verbs that need no model: help, recipes, plugins; exit statuses; --plugins."""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import pytest

from mmgraph.cli import VERBS

from .conftest import HERE


@pytest.mark.parametrize(
    "arguments", [["--help"], ["plugins", "list"], ["recipes", "list"], ["plugins", "--help"], ["cite", "ae"]]
)
def test_answers_at_once_and_without_torch(arguments):
    code = f"""
import sys
from mmgraph.cli import main
status = main({arguments!r})
known = ("torch", "lightning", "jsonargparse", "numpy", "rich")
heavy = [name for name in known if name in sys.modules]
raise SystemExit(f"imported {{heavy}}" if heavy else status)
"""
    before, start = _cpu_seconds(), time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    used, passed = _cpu_seconds() - before, time.monotonic() - start
    print(f"mmgraph {' '.join(arguments)}: {passed:.2f} s, {used:.2f} s of a processor")
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert used < 1.0  # of a processor: other work on the machine does not count


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_names_every_verb(command):
    result = command("--help")
    assert result.status == 0
    assert all(f"  {verb} " in result.out for verb in VERBS)


def test_nothing_and_nonsense_are_wrong_usage(command):
    assert command().status == 2
    result = command("fti")
    assert result.status == 2
    assert "Did you mean 'fit'" in result.err
    assert command("--nonsense", "fit").status == 2


@pytest.mark.parametrize("verb", ["quickstart", "evaluate", "generate", "ask", "inspect", "recipes", "plugins"])
def test_every_verb_has_help(command, verb):
    result = command(verb, "--help")
    assert result.status == 0
    assert f"mmgraph {verb}" in result.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", "a"],
        ["generate", "--run", "none", "--guidance", "much", "a"],
        ["generate", "--run", "none", "--steps", "0", "a"],
        ["generate", "--run", "none", "--out", "a.jpg", "a"],
        ["generate", "--run", "none", "a"],
        ["generate", "--run", "zoo:none", "a"],
        ["ask", "--run", "none", "missing.png", "what?"],
        ["ask", "--run", "none", str(HERE / "tiny.yaml"), "what?"],
        ["evaluate", "--run", "none"],
        ["inspect"],
        ["inspect", "-c", "none.yaml"],
        ["recipes", "show", "none"],
        ["plugins", "show", "none"],
        ["plugins", "list", "none"],
        ["plugins", "check", "recipes.first_party"],
        ["--plugins", "missing.py", "fit"],
        ["--plugins", "no_such_module", "fit"],
    ],
)
def test_wrong_usage_is_one_message_and_status_2(command, arguments):
    result = command(*arguments)
    assert result.status == 2, result.err
    assert result.err
    assert "Traceback" not in result.err


def test_recipes_are_shown(command):
    listed = command("recipes", "list")
    assert "transfusion" in listed.out
    shown = command("recipes", "show", "transfusion")
    assert "class_path: mmgraph.models.UnifiedModel" in shown.out
    assert "mmgraph fit -c transfusion" in shown.out


def test_plugins_are_listed_with_their_first_sentence(command):
    result = command("plugins", "list", "connectors")
    assert "One affine map per token" in result.out
    assert "mmgraph.heads" not in result.out
    assert "next_token" not in result.out


def test_plugins_are_shown_by_kind_name_and_distribution(command):
    by_kind = command("plugins", "show", "connectors.linear")
    assert "bias (bool): True" in by_kind.out
    assert "Visual Instruction Tuning" in by_kind.out
    assert "LinearConnector" in command("plugins", "show", "linear").out
    assert "FlowHead" in command("plugins", "show", "mmgraph").out
    assert "Did you mean" in command("plugins", "show", "liner").err


def test_a_plain_name_means_the_class_before_the_files_of_its_package(distribution):
    from mmgraph.cli.plugins import find

    points = {"connectors": {"mine": "mine.part:Mine"}, "recipes": {"mine": "mine.recipes"}}
    distribution("mmgraph-mine", {"mine/__init__.py": "", "mine/recipes/a.yaml": "# A\n"}, points)
    assert [(entry.kind, entry.name) for entry in find("mine")] == [("connectors", "mine")]
    assert [entry.kind for entry in find("recipes.mine")] == ["recipes"]
    assert len(find("mmgraph-mine")) == 2


def test_plugins_are_checked(command, monkeypatch):
    good = command("plugins", "check", "connectors.linear")
    assert good.status == 0
    assert "every promise kept" in good.out
    from mmgraph import testing

    checks = [testing.Check("is good"), testing.Check("is fast", "it sleeps")]
    monkeypatch.setattr(testing, "check", lambda kind, cls: checks)
    bad = command("plugins", "check", "connectors.linear")
    assert bad.status == 1
    assert "FAIL is fast: it sleeps" in bad.out


def test_plugins_file_must_not_hide_a_module(command, tmp_path):
    (tmp_path / "random.py").write_text("raise SystemExit('ran')\n")
    result = command("--plugins", "random.py", "recipes", "list")
    assert result.status == 2
    assert "'random' exists already" in result.err


def test_broken_plugins_file_is_told(command, tmp_path):
    (tmp_path / "my_broken_part.py").write_text("import nowhere_at_all\n")
    result = command("--plugins", "my_broken_part.py", "recipes", "list")
    assert result.status == 2
    assert "nowhere_at_all" in result.err
    assert "my_broken_part" not in sys.modules


def test_plugins_module_of_the_current_folder(command, tmp_path):
    (tmp_path / "my_own_module.py").write_text("class Part: ...\n")
    assert command("--plugins", "my_own_module", "recipes", "list").status == 0
    from mmgraph.imports import import_class

    assert import_class("my_own_module.Part").__name__ == "Part"
