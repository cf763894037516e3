# ruff: noqa: F811 - a fixture is imported and then named as an argument
"""Plugins are found by entry point; a broken or doubled one troubles nobody else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mmgraph import recipes, registry, zoo
from mmgraph.errors import UsageError
from tests.third_party import distribution  # noqa: F401 - a fixture

GOOD = "class Part:\n    '''A part of a third party.'''\n"


def test_first_party_plugins_are_found_and_loaded():
    assert {"flow", "next_token"} <= set(registry.names("heads"))
    entry = registry.find("connectors", "linear")
    assert entry.distribution == "mmgraph"
    assert entry.load().__name__ == "LinearConnector"
    assert "mmgraph_heads" in registry.plugin_packages()


def test_lazy_names_of_a_contract_module():
    import mmgraph.connectors

    assert mmgraph.connectors.linear.__name__ == "LinearConnector"
    assert "linear" in dir(mmgraph.connectors)
    with pytest.raises(AttributeError, match="Did you mean 'linear'"):
        mmgraph.connectors.linaer  # noqa: B018


def test_third_party_plugin_is_found(distribution):
    distribution("third", {"third_part.py": GOOD}, {"connectors": {"third": "third_part:Part"}})
    assert registry.load("connectors", "third").__name__ == "Part"
    assert registry.load("connectors", "linear").__name__ == "LinearConnector"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import nowhere_to_be_found\n", "nowhere_to_be_found"),
        ("raise RuntimeError('boom')\n", "boom"),
        ("", "Part"),
    ],
)
def test_broken_plugin_fails_alone_and_names_its_distribution(distribution, source, reason):
    distribution("breaks", {"broken_part.py": source}, {"connectors": {"broken": "broken_part:Part"}})
    sys.modules.pop("broken_part", None)
    with pytest.raises(registry.BrokenPluginError, match=r"distribution 'breaks' 1\.0") as caught:
        registry.load("connectors", "broken")
    assert reason in str(caught.value)
    assert registry.load("connectors", "linear").__name__ == "LinearConnector"
    assert {"broken", "linear"} <= set(registry.names("connectors"))


def test_two_distributions_with_one_name_are_named(distribution):
    distribution("one", {"one_part.py": GOOD}, {"connectors": {"shared": "one_part:Part", "own": "one_part:Part"}})
    distribution("two", {"two_part.py": GOOD}, {"connectors": {"shared": "two_part:Part"}})
    with pytest.raises(registry.DuplicatePluginError, match=r"'one' \(one_part:Part\) and 'two' \(two_part:Part\)"):
        registry.find("connectors", "shared")
    assert registry.load("connectors", "own").__name__ == "Part"
    assert len(registry.duplicates()) == 1


def test_unknown_names_and_kinds_offer_the_nearest():
    with pytest.raises(registry.UnknownPluginError, match="Did you mean 'next_token'"):
        registry.find("heads", "nexttoken")
    with pytest.raises(registry.UnknownPluginError, match="Did you mean 'heads'"):
        registry.names("haeds")


def test_stale_editable_install_is_told(distribution, tmp_path):
    distribution("edited", {"edited_part.py": GOOD}, {"connectors": {"old": "edited_part:Part"}})
    source = tmp_path / "source"
    source.mkdir()
    (source / "pyproject.toml").write_text(
        '[project.entry-points."mmgraph.connectors"]\nold = "edited_part:Part"\nnew = "edited_part:Part"\n'
    )
    record = f'{{"url": "file://{source}", "dir_info": {{"editable": true}}}}'
    (tmp_path / "edited-1.0.dist-info" / "direct_url.json").write_text(record)
    (line,) = [line for line in registry.stale() if line.startswith("edited")]
    assert "connectors.new" in line
    assert "connectors.old" not in line
    assert f"pip install -e {source}" in line


def test_recipes_of_any_package_are_found_without_importing_it(distribution):
    files = {
        "third_recipes/__init__.py": "raise RuntimeError('imported')",
        "third_recipes/more/third.yaml": "# A third party's recipe\n#\n# Time: short\nseed_everything: 1\n",
    }
    root = distribution("third", files, {"recipes": {"any": "third_recipes.more", "gone": "not_there_at_all"}})
    path = recipes.find("third")
    assert path == root / "third_recipes" / "more" / "third.yaml"
    assert recipes.title(path) == "A third party's recipe"
    assert recipes.description(path) == "Time: short"
    assert recipes.distribution("third") == "third"
    assert "transfusion" in recipes.names()


def test_recipe_claimed_twice_or_unknown(distribution):
    for name in ("one", "two"):
        distribution(name, {f"{name}_files/same.yaml": "# Title\n"}, {"recipes": {"r": f"{name}_files"}})
    with pytest.raises(UsageError, match=r"two packages have a recipe 'same': 'one' .* and 'two'"):
        recipes.find("same")
    with pytest.raises(UsageError, match="Did you mean 'transfusion'"):
        recipes.find("transfusoin")


def test_zoo_entries_need_both_files(distribution):
    files = {
        "third_zoo/whole/config.yaml": "",
        "third_zoo/whole/model.safetensors": "",
        "third_zoo/half/config.yaml": "",
    }
    root = distribution("third", files, {"zoo": {"z": "third_zoo"}})
    assert zoo.find("whole") == root / "third_zoo" / "whole"
    assert "half" not in zoo.names()
    with pytest.raises(UsageError, match=r"there is no model 'zoo:wohle'\. Did you mean 'whole'"):
        zoo.find("wohle")


def test_finding_plugins_imports_no_torch():
    code = """
import sys
from mmgraph import recipes, registry, zoo
for kind in registry.KINDS:
    registry.names(kind)
recipes.names(), zoo.names(), registry.stale()
raise SystemExit("torch" in sys.modules or "lightning" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
