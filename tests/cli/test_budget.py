"""fit --budget: steps or CPU seconds, whatever the configuration says."""

from __future__ import annotations

import csv
import json

import pytest
import torch
import yaml

from .conftest import HERE


def steps_of(run) -> int:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]


def test_steps_replace_what_the_configuration_says(tiny, tmp_path):
    (tmp_path / "more.yaml").write_text("trainer: {max_steps: 100, max_epochs: 1, max_time: '00:00:00:00'}\n")
    result = tiny("fit", "-c", "more.yaml", "--budget", "9steps", "--run", "out")
    assert result.status == 0, result.err
    run = tmp_path / "out"
    assert steps_of(run) == 9
    trainer = yaml.safe_load((run / "config.yaml").read_text())["trainer"]
    assert (trainer["max_steps"], trainer["max_epochs"], trainer["max_time"]) == (9, -1, None)
    figures = json.loads((run / "training.json").read_text())
    assert figures["budget"] == "9steps"
    assert len(figures["stream"]) == 16
    with (run / "logs" / "clock.csv").open(newline="") as file:
        noted = list(csv.DictReader(file))
    assert [int(row["step"]) for row in noted] == list(range(1, 10))
    times = [float(row["cpu_seconds"]) for row in noted]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(figures["cpu_seconds"], abs=0.05)


def test_a_step_budget_resumes_to_the_same_bits(tiny, tmp_path):
    assert tiny("fit", "--budget", "9steps", "--run", "whole").status == 0
    assert tiny("fit", "--budget", "9steps", "--run", "parts", "--model.init_args.signal_at", 4).status == 130
    assert tiny("fit", "--run", "parts", "--budget", "9steps", "--resume").status == 0
    whole, parts = ((tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert parts == whole
    with (tmp_path / "parts" / "logs" / "clock.csv").open(newline="") as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == list(range(1, 10))


def test_cpu_seconds_end_the_training_and_are_kept_for_the_resume(tiny, command, tmp_path):
    result = tiny("fit", "--budget", "0.3cpu-s", "--run", "out")
    assert result.status == 0, result.err
    run = tmp_path / "out"
    done = steps_of(run)
    figures = json.loads((run / "training.json").read_text())
    assert done == figures["steps"] > 1
    assert figures["budget"] == "0.3cpu-s"
    assert figures["cpu_seconds"] >= 0.3
    callbacks = yaml.safe_load((run / "config.yaml").read_text())["trainer"]["callbacks"]
    assert [part["class_path"] for part in callbacks] == ["mmgraph.models.EMA", "mmgraph.models.CPUBudget"]
    again = command("--plugins", HERE / "tiny.py", "fit", "--run", "out", "--resume")
    assert again.status == 0, again.err
    assert steps_of(run) == done
    more = command("--plugins", HERE / "tiny.py", "fit", "--run", "out", "--resume", "--budget", "0.6cpu-s")
    assert more.status == 0, more.err
    assert steps_of(run) > done
    callbacks = yaml.safe_load((run / "config.yaml").read_text())["trainer"]["callbacks"]
    assert [part["init_args"] for part in callbacks][-1] == {"seconds": 0.6}
    assert len(callbacks) == 2


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--budget", "9"), "is no budget: write 2000steps"),
        (("--budget", "9steps", "--trainer.max_steps", 3), "--budget and --trainer.max_steps both say"),
        (("--budget", "9steps", "--trainer.max_epochs=3"), "--budget and --trainer.max_epochs both say"),
    ],
)
def test_mistakes(tiny, flags, message):
    result = tiny("fit", "--run", "out", *flags)
    assert result.status == 2
    assert message in result.err
