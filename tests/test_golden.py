"""Whole recipes against the ranges that their headers promise; run by hand: `pytest -m golden`.

The result of the last such run is kept in `docs/results/`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from mmgraph.cli import main

pytestmark = [pytest.mark.golden, pytest.mark.timeout(3600)]


def test_transfusion_draws_trained_and_unseen_and_answers_above_majority(tmp_path: Path) -> None:
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
