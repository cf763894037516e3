"""fit, validate, test and predict on a tiny model: the run directory, resume, and what stops a training."""

from __future__ import annotations

import csv
import json
import os
import signal
from pathlib import Path

import pytest
import torch
import yaml

from mmgraph.cli.progress import ProgressLine

from .conftest import HERE


def weights(run: Path) -> bytes:
    return (run / "model" / "model.safetensors").read_bytes()


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "logs" / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_fit_fills_the_run_directory(tiny, tmp_path):
    result = tiny("fit")
    assert result.status == 0, result.err
    run = tmp_path / "runs" / "tiny" / "0"
    assert sorted(path.name for path in run.iterdir()) == [
        "checkpoints",
        "config.yaml",
        "logs",
        "model",
        "training.json",
    ]
    assert str(run.relative_to(tmp_path)) in result.out
    assert "Traceback" not in result.err
    assert "step 15/15" in result.err
    assert "samples/s" in result.err
    figures = json.loads((run / "training.json").read_text())
    assert figures["steps"] == 15
    assert figures["parameters"] == 99
    assert figures["recipe"] == "tiny"
    assert 0 < figures["seconds"] < 100
    assert [int(row["step"]) for row in rows(run) if row["loss"]] == list(range(15))
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 15


def test_saved_configuration_trains_the_same_model(tiny, command, tmp_path):
    run = tmp_path / "runs" / "tiny" / "3"
    first = tiny("fit", "--seed", 3, "--trainer.max_steps", 4, "--data.init_args.batch_size", 2)
    assert first.status == 0, first.err
    values = yaml.safe_load((run / "config.yaml").read_text())
    assert values["seed_everything"] == 3
    assert values["data"]["init_args"]["seed"] == 3
    assert values["data"]["init_args"]["batch_size"] == 2
    assert values["model"]["init_args"]["layer"]["init_args"]["dropout"] == 0.5
    again = command("--plugins", HERE / "tiny.py", "fit", "-c", run / "config.yaml", "--run", "again")
    assert again.status == 0, again.err
    assert weights(tmp_path / "again") == weights(run)
    assert yaml.safe_load((tmp_path / "again" / "config.yaml").read_text()) == values
    assert json.loads((tmp_path / "again" / "training.json").read_text())["recipe"] == "tiny"


def test_files_stack_and_references_follow_overrides(tiny, tmp_path):
    (tmp_path / "more.yaml").write_text(
        "data:\n  init_args:\n    size: ${model.init_args.layer.init_args.width}\ntrainer:\n  max_steps: 1\n"
    )
    result = tiny("fit", "-c", "more.yaml", "--model.init_args.layer.init_args.width", 6, "--run", "out")
    assert result.status == 0, result.err
    values = yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())
    assert values["data"]["init_args"]["size"] == 6
    assert values["trainer"]["max_steps"] == 1


def test_taken_directory_needs_resume_or_overwrite(tiny, tmp_path):
    short = ("--trainer.max_steps", 2, "--run", "out")
    assert tiny("fit", *short).status == 0
    (tmp_path / "out" / "notes.txt").write_text("mine")
    refused = tiny("fit", *short)
    assert refused.status == 2
    assert "--resume" in refused.err
    assert "--overwrite" in refused.err
    both = tiny("fit", *short, "--resume", "--overwrite")
    assert both.status == 2
    assert tiny("fit", *short, "--overwrite").status == 0
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


def test_killed_run_resumes_to_the_same_bits(tiny, process, tmp_path):
    assert tiny("fit", "--run", "whole").status == 0
    killed = process(
        *("--plugins", HERE / "tiny.py", "fit", "-c", HERE / "tiny.yaml", "--run", "killed"),
        *("--checkpoint_seconds", 0, "--model.init_args.signal_at", 9),
        *("--model.init_args.signal_number", int(signal.SIGKILL)),
    )
    assert killed.status == -signal.SIGKILL
    step = torch.load(tmp_path / "killed" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    assert step == 9
    assert not (tmp_path / "killed" / "model").exists()
    resumed = tiny("fit", "--run", "killed", "--resume")
    assert resumed.status == 0, resumed.err
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")
    whole, parts = rows(tmp_path / "whole"), rows(tmp_path / "killed")
    assert [row["loss"] for row in parts] == [row["loss"] for row in whole]
    assert json.loads((tmp_path / "killed" / "training.json").read_text())["steps"] == 15


@pytest.mark.parametrize("stop", [6, 8, 12])
def test_shorter_run_extends_to_the_same_bits(tiny, tmp_path, stop):
    assert tiny("fit", "--run", "whole").status == 0
    assert tiny("fit", "--run", "parts", "--model.init_args.signal_at", stop - 1).status == 130
    assert tiny("fit", "--run", "parts", "--resume").status == 0
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")


def test_resuming_a_finished_run_keeps_its_model(tiny, tmp_path):
    assert tiny("fit", "--run", "out", "--trainer.max_steps", 5).status == 0
    before = weights(tmp_path / "out")
    result = tiny("fit", "--run", "out", "--trainer.max_steps", 5, "--resume")
    assert result.status == 0, result.err
    assert weights(tmp_path / "out") == before


def test_resume_without_a_checkpoint_starts_over(tiny):
    result = tiny("fit", "--run", "out", "--trainer.max_steps", 1, "--resume")
    assert result.status == 0
    assert "no checkpoint yet" in result.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_finishes_the_step_and_writes_a_checkpoint(tiny, tmp_path, number):
    before = signal.getsignal(signal.SIGINT)  # a background shell starts its children with SIGINT ignored
    result = tiny(
        *("fit", "--run", "out", "--model.init_args.signal_at", 7),
        *("--model.init_args.signal_number", int(number)),
    )
    assert result.status == 130, result.err
    assert "--resume" in result.err
    assert torch.load(tmp_path / "out" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 8
    assert signal.getsignal(signal.SIGINT) is before


def test_second_interrupt_stops_at_once(tiny, tmp_path, monkeypatch):
    import tiny as module

    step = module.TinyModel.training_step

    def twice(self, batch, batch_idx):
        if self.global_step == 2:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(module.TinyModel, "training_step", twice)
    result = tiny("fit", "--run", "out", "--checkpoint_seconds", 0)
    assert result.status == 130
    assert torch.load(tmp_path / "out" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 2
    assert "Traceback" not in result.err
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_nan_loss_stops_before_it_reaches_the_weights(tiny, tmp_path):
    result = tiny("fit", "--run", "out", "--checkpoint_seconds", 0, "--model.init_args.nan_at", 7)
    assert result.status == 1
    assert "loss is nan at step 7" in result.err
    assert "[28, 29, 30, 31]" in result.err
    assert "loss/text" in result.err
    assert "Traceback" not in result.err
    saved = torch.load(tmp_path / "out" / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 7
    assert all(torch.isfinite(value).all() for value in saved["state_dict"].values())
    assert not (tmp_path / "out" / "model").exists()


def test_failed_write_keeps_the_checkpoint_before(tiny, tmp_path, monkeypatch):
    save, count = torch.save, []

    def full(checkpoint, file):
        count.append(1)
        if len(count) > 3:
            file.write(b"half of it")
            raise OSError(28, "No space left on device")
        save(checkpoint, file)

    monkeypatch.setattr(torch, "save", full)
    result = tiny("fit", "--run", "out", "--checkpoint_seconds", 0)
    monkeypatch.undo()
    assert result.status == 1
    assert "No space left on device" in result.err
    assert result.err.count("Training goes on") == 1
    assert torch.load(tmp_path / "out" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 3
    assert [path.name for path in (tmp_path / "out" / "checkpoints").iterdir()] == ["last.ckpt"]
    assert (tmp_path / "out" / "model").exists()


class Bomb:
    def __init__(self, path: object) -> None:
        self.path = path

    def __reduce__(self):
        return (os.system, (f"touch {self.path}",))


def test_checkpoint_that_would_run_code_is_refused(tiny, tmp_path):
    torch.save({"state_dict": {}, "evil": Bomb(tmp_path / "fired")}, tmp_path / "evil.ckpt")
    result = tiny("fit", "--ckpt_path", "evil.ckpt", "--run", "out")
    assert result.status == 2
    assert "evil.ckpt is refused" in result.err
    assert "system" in result.err
    assert not (tmp_path / "fired").exists()


@pytest.mark.parametrize("cut", [0, 100, -100])
def test_damaged_checkpoint_says_what_to_do(tiny, tmp_path, cut):
    torch.save({"state_dict": {"a": torch.zeros(1000)}}, tmp_path / "whole.ckpt")
    (tmp_path / "cut.ckpt").write_bytes((tmp_path / "whole.ckpt").read_bytes()[:cut])
    result = tiny("fit", "--ckpt_path", "cut.ckpt", "--run", "out")
    assert result.status == 1
    assert "cut.ckpt is damaged or cut short" in result.err
    assert "--ckpt_path" in result.err


def test_state_that_only_code_restores_is_reported_at_once(tiny, monkeypatch):
    import tiny as module

    monkeypatch.setattr(
        module.TinyModel, "on_save_checkpoint", lambda self, checkpoint: checkpoint.update(odd=Bomb("x"))
    )
    result = tiny("fit", "--run", "out")
    assert result.status == 1
    assert "could not be resumed" in result.err


def test_validate_test_and_predict_use_the_runs_checkpoint(tiny, command):
    missing = tiny("validate")
    assert missing.status == 2
    assert "there is no checkpoint" in missing.err
    assert tiny("fit", "--trainer.max_steps", 6).status == 0
    scored = tiny("validate")
    assert scored.status == 0, scored.err
    assert "val_loss:" in scored.out
    by_run = command("--plugins", HERE / "tiny.py", "test", "--run", "runs/tiny/0")
    assert by_run.status == 0, by_run.err
    assert "test_loss:" in by_run.out
    predicted = tiny("predict")
    assert predicted.status == 0
    assert "batch 1: tensor(" in predicted.out


def test_accumulated_gradients_resume_to_the_same_bits(tiny, tmp_path):
    flags = (
        "--trainer.accumulate_grad_batches",
        2,
        "--trainer.max_steps",
        8,
        "--checkpoint_seconds",
        0,
        "--run",
    )
    assert tiny("fit", *flags, "whole").status == 0
    assert tiny("fit", *flags, "parts", "--model.init_args.signal_at", 4).status == 130
    assert tiny("fit", *flags, "parts", "--resume").status == 0
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")


@pytest.mark.parametrize(
    "flag", ["barebones=true", "enable_checkpointing=false", "logger=false", "enable_progress_bar=false"]
)
def test_trainer_flags_that_switch_things_off_work(tiny, tmp_path, flag):
    more = ("--trainer.log_every_n_steps", "null", "--trainer.max_steps", 3)
    result = tiny("fit", "--run", "out", *more, f"--trainer.{flag}")
    assert result.status == 0, result.err
    assert (tmp_path / "out" / "model").is_dir()
    without = ("barebones=true", "enable_checkpointing=false")
    assert (tmp_path / "out" / "checkpoints" / "last.ckpt").is_file() == (flag not in without)
    assert ("training:" in result.err) == (flag not in ("barebones=true", "enable_progress_bar=false"))


def test_dry_run_leaves_nothing_behind(tiny, tmp_path):
    result = tiny("fit", "--run", "out", "--trainer.fast_dev_run", 2)
    assert result.status == 0, result.err
    assert "nothing was written" in result.out
    assert not (tmp_path / "out").exists()


def test_manual_optimisation_and_own_model_that_cannot_be_saved_are_refused(tiny, monkeypatch):
    import tiny as module

    monkeypatch.setattr(module.TinyModel, "automatic_optimization", property(lambda self: False))
    result = tiny("fit", "--run", "out", "--trainer.gradient_clip_val", 1.0)
    assert result.status == 2, result.err
    assert "automatic" in result.err.lower() or "manual" in result.err.lower()


def test_progress_tells_loss_speed_and_time_left():
    line = ProgressLine()
    line._total, line._samples, line._loss, line._began = 100, 640, 0.5, (0.0, 0)
    assert line.words(10, 20.0) == "step 10/100, loss 0.5000, 32 samples/s, 3:00 left"
    line._total = None
    assert line.words(10, 20.0) == "step 10, loss 0.5000, 32 samples/s"


class Killed(BaseException):
    """Ends a training in the middle of a step, as a kill does: nothing is written after it."""


def test_unified_model_resumes_to_the_same_bits(command, tmp_path, monkeypatch):
    from mmgraph.cli.scaffold import template
    from mmgraph.models import UnifiedModel, load

    squares = template() / "mmgraph_template" / "squares.py"
    base = ("--plugins", squares, "fit", "-c", HERE / "unified.yaml", "--checkpoint_seconds", 0, "--run")
    assert command(*base, "whole").status == 0
    step = UnifiedModel.training_step

    def dying(self, batch, batch_idx):
        if self.global_step == 7:
            raise Killed
        return step(self, batch, batch_idx)

    monkeypatch.setattr(UnifiedModel, "training_step", dying)
    with pytest.raises(Killed):
        command(*base, "parts")
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert torch.load(tmp_path / "parts" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 7
    torch.manual_seed(12345)  # whatever the process drew before
    assert command(*base, "parts", "--resume").status == 0
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    figures = json.loads((tmp_path / "parts" / "training.json").read_text())
    assert figures["tokens_per_second"] > 0
    assert type(load(tmp_path / "parts")).__name__ == "UnifiedModel"
