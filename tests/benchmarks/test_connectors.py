"""`python -m tests.benchmarks.connectors` builds its rows at a tiny size; nothing is claimed of the times."""

from __future__ import annotations

import json

from tests.benchmarks import connectors


def test_rows_say_what_was_measured(tmp_path, monkeypatch):
    for name, value in {"SIDES": (4,), "POSITIONS": (4, 16), "DIM": 16, "DEPTH": 1, "BATCH": 2}.items():
        monkeypatch.setattr(connectors, name, value)
    out = tmp_path / "rows.jsonl"
    assert connectors.main(["--out", str(out), "--rounds", "1"]) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    expected = {("mlp", 16), *((name, 4) for name in connectors.REDUCING)}  # 16 of 16 would reduce nothing
    assert {(row["connector"], row["visual_tokens"]) for row in rows} == expected
    for row in rows:
        assert row["encoder_tokens"] == 16
        assert row["ratio"]["median"] > 0
        assert row["command"].endswith("--rounds 1")
    fewest = next(row for row in rows if row["connector"] == "average_pool")
    # the same matrix, and 4 positions in place of 16
    assert fewest["parameters_with_linear"] - fewest["parameters"] == 12 * connectors.DIM


def test_each_connector_gives_the_positions_that_its_row_says():
    from mmgraph.tokenizers import patch

    for tokens, name, positions, make in connectors.compared():
        connector = make()
        connector.build(patch(tokens * connectors.PATCH, connectors.PATCH), connectors.DIM)
        assert connector.num_tokens(tokens**2) == positions, name
