"""compare: real runs of a tiny model, in this process where one of its own would only cost time."""

from __future__ import annotations

import contextlib
import json
import signal
from pathlib import Path

import pytest
import yaml

import mmgraph.cli
from mmgraph.budgets import Budget
from mmgraph.cli import cell
from mmgraph.cli.scaffold import template
from mmgraph.evaluation import studies
from mmgraph.evaluation.studies import rows
from tests.evaluation.studies.fakes import Ended

from .conftest import HERE

SQUARES = template() / "mmgraph_template" / "squares.py"


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the commands of a study in this process."""

    def launch(commands, output: Path, threads: int) -> Ended:
        flags = list(mmgraph.cli.global_flags)
        with output.open("w") as file, contextlib.redirect_stderr(file), contextlib.redirect_stdout(file):
            return Ended(cell.run([[*flags, *command] for command in commands]))

    monkeypatch.setattr(cell, "launch", launch)


def test_a_study_of_real_runs_one_of_which_fails(inline, command, tmp_path):
    study = {
        "question": "Is a model as good as itself?",
        "arms": {
            "one": {"config": str(HERE / "unified.yaml")},
            "same": {"config": str(HERE / "unified.yaml")},
            "lost": {"config": str(HERE / "tiny.yaml"), "set": {"model.init_args.nan_at": 2}},
        },
        "seeds": 1,
        "budget": "9steps",
        "measures": ["losses.ask.text", "generation.unseen.recall_at_1", "losses.draw.image.by_time.0.5"],
    }
    (tmp_path / "self.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    flags = ("--plugins", SQUARES, "--plugins", HERE / "tiny.py")
    result = command(*flags, "compare", "--study", "self.yaml", "--budget", "4steps", "--evaluate", "limit=2",
                     "--out", "out")  # fmt: skip
    assert result.status == 1, result.err
    assert "1 of 3 runs failed" in result.err
    assert "lost  seed 0: the loss is nan at step 2" in result.err
    assert "Traceback" not in result.err
    one, same, lost = rows.read(tmp_path / "out" / "rows.jsonl")
    assert lost["status"] == "failed"
    assert one["training"]["steps"] == 4
    assert one["training"]["budget"] == "4steps"
    assert one["measures"] == same["measures"]
    assert one["measures"]["losses.ask.text"]["n"] == 2
    assert len(one["items"]["losses.ask.text"]["values"]) == 2
    assert one["training"]["stream"] == same["training"]["stream"], "both arms read the same samples"
    assert len(one["training"]["stream"]) == 16
    assert one["curves"]
    assert f"mmgraph --plugins {SQUARES} --plugins {HERE / 'tiny.py'} fit -c" in one["command"][0]
    run = tmp_path / "out" / "one" / "0"
    for name in ("config.yaml", "metrics.json", "items.json", "report.html", "model", "checkpoints"):
        assert (run / name).exists()
    assert "one seed, no interval" in result.out
    assert "lost, seed 0: failed" in result.out
    assert "0 of 1" in result.out
    saved = json.loads((tmp_path / "out" / "study.json").read_text())
    assert saved["contrasts"][0]["difference"] == 0
    assert "<svg" in (tmp_path / "out" / "report.html").read_text()
    again = command(*flags, "compare", "--study", "self.yaml", "--budget", "4steps", "--evaluate", "limit=2",
                    "--out", "out")  # fmt: skip
    assert "2 of 3 runs are done" in again.err
    other = command(*flags, "compare", "--study", "self.yaml", "--out", "out")
    assert other.status == 2
    assert "with another plan" in other.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name two or more recipes, or give --study"),
        (("transfusion", "--study", "x.yaml"), "name two or more recipes, or give --study"),
        (("transfusion", "transfusion"), "say how long each run trains"),
        (("transfusion", "transfusoin", "--budget", "3steps"), "Did you mean 'transfusion'"),
        (("transfusion", "--budget", "3"), "'3' is no budget"),
        (("transfusion", "--budget", "3steps", "--seeds", "x"), "--seeds: seeds are a number"),
        (("transfusion", "--budget", "3steps", "--evaluate", "limits=3"), "--evaluate takes KEY=VALUE"),
        (("transfusion", "--budget", "3steps", "--measure", "generatoin.unseen.kid"), "Did you mean 'generation'"),
        (("--study", "none.yaml"), "there is no study file none.yaml"),
    ],
)
def test_mistakes_are_named_before_anything_runs(command, tmp_path, arguments, message):
    result = command("compare", *arguments)
    assert result.status == 2
    assert message in result.err
    assert not list(tmp_path.glob("runs/studies/*/*/*"))


KILL = """
import os, signal
from pathlib import Path
from lightning.pytorch.callbacks import Callback

class KillOnce(Callback):
    def __init__(self, marker: str) -> None:
        self.marker = Path(marker)

    def on_train_batch_end(self, trainer, *rest) -> None:
        if trainer.global_step == 5 and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_with_the_same_row(tmp_path, monkeypatch):
    (tmp_path / "kill.py").write_text(KILL)
    flags = ["--plugins", str(SQUARES), "--plugins", str(tmp_path / "kill.py")]
    monkeypatch.setattr(cell, "global_flags", flags)

    def study(marker: Path) -> studies.Study:
        callbacks = [{"class_path": "kill.KillOnce", "init_args": {"marker": str(marker)}}]
        changes = {"trainer.callbacks": callbacks, "checkpoint_seconds": 0}
        arm = studies.Arm("one", (str(HERE / "unified.yaml"),), changes, evaluate={"limit": 2})
        return studies.Study("killed", (arm,), (0,), Budget(steps=9))

    def run(out: str, marker: Path) -> rows.Row:
        return studies.run(study(marker), tmp_path / out, launch=cell.launch, tell=lambda line: None)[0]

    (tmp_path / "never").touch()
    whole = run("whole", tmp_path / "never")
    assert whole["status"] == "done", whole
    killed = run("parts", tmp_path / "marker")
    assert killed["status"] == "failed"
    assert f"killed by signal {int(signal.SIGKILL)}" in killed["message"]
    parts = run("parts", tmp_path / "marker")
    said = (tmp_path / "parts" / "one" / "0" / "output.txt").read_text()
    assert "step 9/9" in said
    assert parts["training"]["steps"] == 9
    for name in ("measures", "items", "status", "budget"):
        assert parts[name] == whole[name]
    assert parts["training"]["stream"] == whole["training"]["stream"]
    ends = [[(point[0], point[2]) for point in row["curves"]["train_loss"]] for row in (parts, whole)]
    assert ends[0] == ends[1]
