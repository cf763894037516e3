from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks import reconstruction

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_table_of_the_tokenizer_page_is_measured_again(tmp_path):
    command = [sys.executable, "-m", "tests.benchmarks.reconstruction", "--out", str(tmp_path / "rows.jsonl")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    committed = [json.loads(line) for line in reconstruction.RESULTS.read_text().splitlines()]
    now, before = (
        {(row["data"], row["variant"], row["tokenizer"]): row["rmse_of_255"] for row in found}
        for found in (rows, committed)
    )
    assert len(now) >= 6
    for key, error in now.items():
        assert error == pytest.approx(before[key], rel=0.02, abs=0.01), key
