"""graph-lift: real runs of a tiny model, in this process where one of its own would only cost time."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

import mmgraph.cli
from mmgraph.cli import cell
from mmgraph.evaluation.studies import rows
from tests.evaluation.studies.fakes import Ended

from .conftest import HERE

RECIPE = str(HERE / "graph.yaml")


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the commands of a study in this process."""

    def launch(commands, output: Path, threads: int) -> Ended:
        flags = list(mmgraph.cli.global_flags)
        with output.open("w") as file, contextlib.redirect_stderr(file), contextlib.redirect_stdout(file):
            return Ended(cell.run([[*flags, *command] for command in commands]))

    monkeypatch.setattr(cell, "launch", launch)


def test_two_seeds_of_real_and_placebo_edges(inline, command, tmp_path):
    result = command("graph-lift", "-c", RECIPE, "--seeds", "2", "--budget", "2steps", "--limit", "6",
                     "--arms", "real", "--out", "out", "--results", "kept.jsonl")  # fmt: skip
    assert result.status == 0, result.err
    told = json.loads((tmp_path / "out" / "lift.json").read_text())
    assert set(told["helps"]) == {"understanding", "generation"}
    over = {(lift["measure"], lift["over"]) for lift in told["lifts"]}
    measures = ("graph.accuracy", "graph.bits", "graph.denoising")
    assert over == {(measure, arm) for measure in measures for arm in ("mlp", "rewired")}
    assert all(lift["gain"] is not None for lift in told["lifts"])
    assert all(lift["ci95_seeds_and_nodes"] for lift in told["lifts"])
    assert set(told["yardsticks"]) == {"majority", "neighbour copy", "ceiling"}
    assert 0.5 < told["yardsticks"]["ceiling"]["accuracy"] <= 1
    page = (tmp_path / "out" / "lift.md").read_text()
    assert told["verdict"] in page
    assert page.count("<svg") >= 2
    assert told["verdict"] in result.out
    assert (tmp_path / "out" / "report.html").is_file()
    metrics = json.loads((tmp_path / "out" / "real" / "0" / "metrics.json").read_text())["graph"]
    assert set(metrics) == {"accuracy", "bits", "denoising", "isolated", "dropped", "ceiling", "alike", "removed"}
    assert "## Against homophily" in page
    assert "## With fewer edges" in page
    kept = rows.read(tmp_path / "kept.jsonl")
    assert [row["arm"] for row in kept] == ["mlp", "real", "rewired"] * 2
    assert all(row["yardsticks"] == told["yardsticks"] for row in kept)
    # a tiny model after two steps says nothing about graphs, and the verdict must not either
    assert not told["helps_both"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-c", "transfusion"), "has no graph part"),
        (("-c", RECIPE, "--arms", "rewire"), "graph-lift has no arm 'rewire'"),
        (("-c", RECIPE, "--seeds", "none"), "seeds are a number"),
    ],
)
def test_what_cannot_be_lifted(command, arguments, message):
    result = command("graph-lift", *arguments, "--budget", "2steps")
    assert result.status == 2
    assert message in result.err
