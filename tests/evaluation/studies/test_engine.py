"""The engine on runs that cost nothing: what is run, what is skipped, and what is kept of it."""

from __future__ import annotations

import json

import pytest
from filelock import FileLock

from mmgraph.errors import UsageError
from mmgraph.evaluation import studies
from mmgraph.evaluation.studies import rows

from .conftest import NAMING
from .fakes import Ended


def silent(line: str) -> None:
    pass


def test_every_arm_runs_with_every_seed_and_leaves_a_row(make_study, launcher, tmp_path):
    study, launch = make_study(results="results.jsonl", evaluate={"limit": 7}), launcher()
    found = studies.run(study, tmp_path / "out", launch=launch, tell=silent)
    assert launch.started == [(arm, seed) for seed in range(3) for arm in ("plain", "deep")]
    assert [row["status"] for row in found] == ["done"] * 6
    fit, evaluate = launch.commands[1]
    run = str(tmp_path / "out" / "deep" / "0")
    assert fit == ["fit", "-c", str(tmp_path / "deep.yaml"), "--model.init_args.depth", "6", "--seed", "0",
                   "--budget", "30steps", "--run", run]  # fmt: skip
    assert evaluate == ["evaluate", "--run", run, "--limit", "7"]
    row = found[1]
    assert row["command"][0] == f"mmgraph {' '.join(fit)}".replace(run, "runs/studies/depth/deep/0")
    assert (row["study"], row["arm"], row["factors"], row["seed"]) == ("depth", "deep", {}, 0)
    assert row["training"]["steps"] == 30
    assert row["measures"][NAMING]["n"] == 40
    assert row["hardware"]["threads"] == 1
    assert set(row["curves"]) == {"train_loss"}
    assert row["curves"]["train_loss"][-1][:2] == [30, 3.0]
    assert len(row["curves"]["train_loss"]) == rows.POINTS
    assert set(row["items"][NAMING]["values"]) <= {"0", "1"}
    assert set(row["commit"] or ()) <= {"revision", "dirty"}
    assert rows.read(tmp_path / "out" / "rows.jsonl") == found
    assert rows.read(tmp_path / "results.jsonl") == found


def test_a_stopped_study_goes_on_and_ends_with_the_same_rows(make_study, launcher, tmp_path):
    whole = studies.run(make_study(), tmp_path / "whole" / "out", launch=launcher(), tell=silent)

    class Interrupted(BaseException):
        pass

    first = launcher()

    def dying(commands, output, threads):
        if len(first.started) == 3:
            raise Interrupted
        return first(commands, output, threads)

    out = tmp_path / "parts" / "out"
    with pytest.raises(Interrupted):
        studies.run(make_study(), out, launch=dying, tell=silent)
    second = launcher()
    parts = studies.run(make_study(), out, launch=second, tell=silent)
    assert len(second.started) == 3
    for a, b in zip(whole, parts, strict=True):
        strip = {"date": 0, "command": 0}
        assert {**a, **strip} == {**b, **strip}
    again = launcher()
    assert studies.run(make_study(seeds=4), out, launch=again, tell=silent)[:6] == parts
    assert again.started == [("plain", 3), ("deep", 3)]


def test_a_run_with_a_checkpoint_goes_on_from_it(make_study, launcher, tmp_path):
    checkpoint = tmp_path / "out" / "deep" / "0" / "checkpoints" / "last.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    launch = launcher()
    studies.run(make_study(seeds=1), tmp_path / "out", launch=launch, tell=silent)
    assert ["--resume" in commands[0] for commands in launch.commands] == [False, True]


def test_a_failing_run_is_recorded_and_tried_again_next_time(make_study, launcher, tmp_path):
    said = "training: step 7\nmmgraph: the loss is nan at step 7.\n"
    found = studies.run(make_study(), tmp_path / "out", launch=launcher(fails={("deep", 1): said}), tell=silent)
    assert [row["status"] for row in found] == ["done", "done", "done", "failed", "done", "done"]
    assert found[3]["message"] == "the loss is nan at step 7."
    analysis = studies.analyse(make_study(), found)
    assert "deep, seed 1: failed: the loss is nan at step 7." in analysis.notes
    assert set(analysis.comparisons[0].differences) == {0, 2}, "only whole pairs are compared"
    launch = launcher()
    found = studies.run(make_study(), tmp_path / "out", launch=launch, tell=silent)
    assert launch.started == [("deep", 1)]
    assert [row["status"] for row in found] == ["done"] * 6


def test_a_killed_run_says_so(make_study, tmp_path):
    found = studies.run(make_study(measures=[]), tmp_path / "out", launch=lambda *rest: Ended(-9), tell=silent)
    assert found[0]["message"] == "killed by signal 9"


def test_runs_of_another_plan_are_not_mixed_in(make_study, launcher, tmp_path):
    out = tmp_path / "out"
    studies.run(make_study(), out, launch=launcher(), tell=silent)
    (out / "plain" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="with another plan"):
        studies.run(make_study(budget="31steps"), out, launch=launcher(), tell=silent)
    launch = launcher()
    found = studies.run(make_study(budget="31steps"), out, launch=launch, overwrite=True, tell=silent)
    assert len(launch.started) == 6
    assert {row["budget"] for row in found} == {"31steps"}
    assert (out / "plain" / "notes.txt").read_text() == "mine"


def test_the_header_of_a_recipe_may_change_after_its_runs_and_its_values_may_not(make_study, launcher, tmp_path):
    study, out = make_study(), tmp_path / "out"
    studies.run(study, out, launch=launcher(), tell=silent)
    plain = tmp_path / "plain.yaml"
    plain.write_text("# plain\n# Expect: what the runs reached.\nmodel: {}\n")
    launch = launcher()
    studies.run(study, out, launch=launch, tell=silent)
    assert launch.started == []
    plain.write_text("# plain\nmodel: {depth: 2}\n")
    with pytest.raises(UsageError, match="with another plan"):
        studies.run(study, out, launch=launch, tell=silent)


def test_rows_keep_what_tables_of_recipes_need(make_study, launcher, tmp_path):
    (row, *_) = studies.run(make_study(seeds=1), tmp_path / "out", launch=launcher(), tell=silent)
    assert list(row["headline"]) == ["generation.trained.recall_at_1", "generation.unseen.recall_at_1"]
    assert row["data"] == {"dataset": "Emoji", "protocol": "grouped", "split": "test"}
    assert row["sources"] == [str(tmp_path / "plain.yaml")]
    assert (row["changes"], row["evaluate"]) == ({}, {})
    old = [{name: value for name, value in row.items() if name not in ("schema", "headline")}]
    rows.write(tmp_path / "out" / "rows.jsonl", old)
    launch = launcher()
    (again, *_) = studies.run(make_study(seeds=1), tmp_path / "out", launch=launch, tell=silent)
    assert launch.started == [("deep", 0)]
    assert again == row, "a finished run's row is read anew from its metrics.json"


def test_a_measure_that_no_arm_has_stops_the_study_after_one_seed(make_study, launcher, tmp_path):
    launch, out = launcher(), tmp_path / "out"
    with pytest.raises(UsageError, match=rf"Did you mean '{NAMING}'"):
        studies.run(make_study(measures=["understanding.names.accuracy"]), out, launch=launch, tell=silent)
    assert launch.started == [("plain", 0), ("deep", 0)]
    found = studies.run(make_study(), out, launch=launch, tell=silent)
    assert len(launch.started) == 6, "what was run is kept, and read anew for the right measure"
    assert all(row["measures"][NAMING] for row in found)


def test_two_processes_do_not_share_a_folder(make_study, launcher, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with FileLock(out / ".lock"), pytest.raises(UsageError, match="another process"):
        studies.run(make_study(), out, launch=launcher(), tell=silent)


def test_as_many_runs_at_a_time_as_asked_for_and_all_are_stopped_at_the_end(make_study, tmp_path):
    class Running:
        open = 0
        most = 0
        stopped = 0

        def __init__(self, *rest):
            self.polls = 0
            Running.open += 1
            Running.most = max(Running.most, Running.open)

        def poll(self):
            self.polls += 1
            if Running.most == 2 and self.polls > 2:
                raise KeyboardInterrupt

        def stop(self):
            Running.stopped += 1

    with pytest.raises(KeyboardInterrupt):
        studies.run(make_study(), tmp_path / "out", launch=Running, jobs=2, tell=silent)
    assert (Running.most, Running.stopped) == (2, 2)


def test_a_damaged_row_is_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"arm": "a", "factors": {}, "seed": 0}) + "\n{broken\n")
    with pytest.raises(Exception, match="line 2 is damaged"):
        rows.read(path)
