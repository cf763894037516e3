from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mmgraph import citations
from tests.cli.conftest import Result

HEAD = '''
from torch import nn


class MyHead(nn.Module):
    """A head of one's own.

    Reference:
        Somebody et al., A Paper, 2025 (arXiv 2501.00001).
        Somebody else, A Lost Paper, 1999.
    """
'''
BIB = "@misc{somebody2025,\n  title = {A Paper},\n  author = {Somebody},\n  eprint = {2501.00001},\n}\n"


def test_a_recipe_cites_mmgraph_the_survey_and_each_part_once(command: Callable[..., Result]) -> None:
    result = command("cite", "transfusion")
    assert result.status == 0, result.err
    entries = citations.parse(result.out)
    keys = [entry.key for entry in entries]
    assert {"mmgraph", "wang2024", "zhou2024transfusion", "esser2024scaling", "twemoji"} <= {*keys}
    assert len(keys) == len({*keys})
    assert "has no entry" not in result.out
    assert "kid" not in result.out


@pytest.mark.parametrize(
    ("recipe", "key"),
    [
        ("mmgl", "yoon2023multimodal"),
        ("instructg2i", "jin2024instructg2i"),
        ("graphgpt_o", "fang2025graphgpto"),
        ("g_retriever", "he2024gretriever"),
    ],
)
def test_recipes_of_graph_systems_cite_their_paper_first(command: Callable[..., Result], recipe: str, key: str) -> None:
    result = command("cite", recipe)
    assert result.status == 0, result.err
    assert f"% recipe {recipe}\n@misc{{{key}," in result.out
    assert "has no entry" not in result.out


def test_a_file_cites_its_parts_and_names_what_has_no_entry(
    command: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "their_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "heads.py").write_text(HEAD)
    (package / "references.bib").write_text(BIB)
    monkeypatch.syspath_prepend(tmp_path)
    citations._entries.cache_clear()
    config = tmp_path / "own.yaml"
    config.write_text("model: {class_path: their_package.heads.MyHead}\n")
    result = command("cite", config)
    assert result.status == 0, result.err
    assert BIB.strip() in result.out
    assert "% their_package.heads.MyHead: Somebody else, A Lost Paper, 1999." in result.out
    assert "has no entry in their_package/references.bib" in result.out
    assert "their_package.heads" not in sys.modules


def test_a_run_cites_the_metrics_that_measured_it(command: Callable[..., Result], tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(
        "# recipe: transfusion\n"
        "model: {class_path: mmgraph.models.UnifiedModel}\n"
        "data: {class_path: mmgraph.datasets.shapes}\n"
    )
    command("cite", "--run", run)
    (run / "metrics.json").write_text(json.dumps({"generation": {"trained": {"kid": {}, "recall_at_1": {}}}}))
    out = command("cite", "--run", run).out
    keys = {entry.key for entry in citations.parse(out)}
    assert {"binkowski2018demystifying", "gretton2012kernel", "xu2018attngan", "tan2019efficientnet"} <= keys
    assert "naeem2020reliable" not in keys
    assert "% recipe transfusion" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "say what to cite"),
        (("transfusion", "--run", "runs"), "say what to cite"),
        (("transfusio",), "Did you mean 'transfusion'?"),
        (("nothing.yaml",), "there is no configuration file nothing.yaml"),
        (("--run", "nowhere"), "cannot be read"),
    ],
)
def test_wrong_usage(command: Callable[..., Result], arguments: tuple[str, ...], says: str) -> None:
    result = command("cite", *arguments)
    assert result.status == 2
    assert says in result.err


def test_a_file_that_is_no_configuration(command: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "broken.yaml").write_text("a: [1\n")
    (tmp_path / "unknown.yaml").write_text("data: {class_path: mmgraph.datasets.shape}\n")
    assert "holds no configuration" in command("cite", "list.yaml").err
    assert "is no YAML" in command("cite", "broken.yaml").err
    assert "Did you mean 'shapes'?" in command("cite", "unknown.yaml").err
