"""The table of codebook sizes builds its rows; what they say is measured by hand."""

from __future__ import annotations

import json

from tests.benchmarks import codebooks


def test_rows_say_what_was_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(codebooks, "SIZES", (8, 16))
    monkeypatch.setattr(codebooks, "SEEDS", (3,))
    monkeypatch.setattr(codebooks, "HELD_OUT", 4)
    monkeypatch.setattr(codebooks, "BATCH", 4)
    out = tmp_path / "rows.jsonl"
    assert codebooks.main(["--out", str(out), "--steps", "2", "--scenes", "60"]) == 0
    assert codebooks.main(["--out", str(out), "--steps", "2", "--scenes", "60"]) == 0  # nothing is left to do
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(row["seed"], row["codes"], row["bits"]) for row in rows] == [(3, 8, 48.0), (3, 16, 64.0)]
    for row in rows:
        assert row["oracle_on_true"]["all"] == 1.0
        assert 0 <= row["oracle"]["colour"] <= 1
        assert row["held_out_pictures"] == 4
        assert row["command"].endswith("--steps 2")
