"""Several processes give the losses of one process with as many samples in all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.models.twenty_steps import STEPS, Captioned

ROOT = Path(__file__).resolve().parents[2]
DRAW = 0.7
"""Weight of drawing at which some processes get batches without a drawing."""


def _train(devices: int, batch: int, out: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.models.twenty_steps", "--devices", str(devices), "--batch", str(batch)]
    done = subprocess.run(
        [*command, "--draw", str(DRAW), "--out", str(out)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(out.read_text())


def _stream(batch: int, *, rank: int, world: int, step: int = 0) -> list[list[int]]:
    """Return the sample numbers of each batch that one process reads in an epoch."""
    dataset = Captioned(batch, {"draw": DRAW, "name": 1.0})
    dataset.trainer = SimpleNamespace(  # type: ignore[assignment]
        global_rank=rank, world_size=world, global_step=step, accumulate_grad_batches=1, limit_train_batches=1.0
    )
    return [[sample.key for sample in part] for part in dataset.train_dataloader()]


@pytest.mark.parametrize("step", [0, 1, 4])
def test_processes_share_the_batches_of_one(step: int) -> None:
    whole = _stream(8, rank=0, world=1, step=step)
    halves = [_stream(4, rank=rank, world=2, step=step) for rank in (0, 1)]
    assert whole == [first + second for first, second in zip(*halves, strict=True)]


def test_some_processes_lack_a_drawing_in_some_steps_but_never_all() -> None:
    dataset = Captioned(4, {"draw": DRAW, "name": 1.0})
    tasks = [dataset.training_sample(number).task for number in range(STEPS * 8)]
    counts = [tasks[start : start + 4].count("draw") for start in range(0, len(tasks), 4)]
    assert 0 in counts
    assert all(first + second > 0 for first, second in zip(counts[::2], counts[1::2], strict=True))


@pytest.mark.slow
def test_two_processes_train_as_one_with_the_doubled_batch(tmp_path: Path) -> None:
    one, two = _train(1, 8, tmp_path / "one.json"), _train(2, 4, tmp_path / "two.json")
    assert len(one["steps"]) == len(two["steps"]) == STEPS
    for alone, shared in zip(one["steps"], two["steps"], strict=True):
        assert shared == pytest.approx(alone, rel=1e-5)
    assert two["validation"] == pytest.approx(one["validation"], rel=1e-5)
    assert one["steps"][-1]["train_text"] < one["steps"][0]["train_text"]
