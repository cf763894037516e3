from __future__ import annotations

import json

import pytest

from tests.benchmarks import reconstruction


@pytest.mark.slow
def test_the_table_of_the_tokenizer_page_is_measured_again(tmp_path):
    reconstruction.main(["--out", str(tmp_path / "rows.jsonl")])
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    committed = [json.loads(line) for line in reconstruction.RESULTS.read_text().splitlines()]
    now, before = (
        {(row["data"], row["variant"], row["tokenizer"]): row["rmse_of_255"] for row in found}
        for found in (rows, committed)
    )
    assert len(now) >= 6
    for key, error in now.items():
        assert error == pytest.approx(before[key], rel=0.02, abs=0.01), key
