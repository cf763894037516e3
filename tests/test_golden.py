"""Whole recipes against the ranges that their committed runs promise; run by hand: `pytest -m golden`.

Every recipe with three committed seeds or more trains once with a seed that is not among them, for as many steps as
they took, and must fall inside the range that they expect of it. What it reached goes to `docs/results/golden.jsonl`,
and from there to the recipe's page: `python -m mmgraph.docs pages`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from mmgraph.cli import cell, main
from mmgraph.docs import committed
from mmgraph.evaluation import studies

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
FOUND = {name: runs[0] for name, runs in committed.of_recipes(RESULTS).items() if len(runs[0].rows) >= 3}

pytestmark = [pytest.mark.golden, pytest.mark.timeout(7200)]


@pytest.mark.parametrize("name", sorted(FOUND))
def test_another_seed_falls_inside_the_range_of_the_committed_ones(name: str, tmp_path: Path) -> None:
    runs = FOUND[name]
    assert not runs.stale, f"recipe '{name}' has been changed since its runs; run study '{runs.study}' again"
    study = committed.another(runs, max(runs.seeds) + 1)
    (row,) = studies.run(study, tmp_path / "out", launch=cell.launch, results=False)
    assert row["status"] == "done", row.get("message")
    held = committed.held(runs, row)
    committed.keep(RESULTS, held)
    assert held["outside"] == []


def test_the_quickstart_draws_trained_and_unseen_and_answers_above_majority(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert main(["quickstart", "--run", str(run)]) == 0
    from mmgraph.evaluation import schema

    metrics = schema.read(run / "metrics.json")
    drawn = metrics["generation"]
    assert drawn["trained"]["recall_at_10"]["value"] >= 0.70
    assert drawn["unseen"]["recall_at_10"]["value"] >= 0.20
    for kind in ("group", "subgroup", "colour", "shows"):
        answers = metrics["understanding"][kind]
        assert answers["accuracy"] > answers["majority"], kind
