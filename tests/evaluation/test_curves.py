from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from mmgraph.evaluation import curves

LOG = """epoch,step,val_loss,train_image,train_loss,lr
0,0,,1.5,2.0,0.1
0,1,,nan,1.9,0.1
1,1,1.7,,,
1,2,,1.4,inf,0.1
"""


def test_reads_ragged_logs_training_first_and_leaves_out_what_is_no_loss(tmp_path):
    (tmp_path / "metrics.csv").write_text(LOG)
    found = curves.read(tmp_path / "metrics.csv")
    assert list(found) == ["train_loss", "train_image", "val_loss"]
    assert found["train_image"] == ([0.0, 2.0], [1.5, 1.4])
    assert found["train_loss"] == ([0.0, 1.0], [2.0, 1.9])
    assert found["val_loss"] == ([1.0], [1.7])
    assert curves.read(tmp_path / "none.csv") == {}


def test_draws_one_scalable_picture_that_follows_the_page():
    svg = curves.render({"train_loss": ([0, 1, 2], [3.0, 2.0, 1.0]), "val_loss": ([1], [2.5])})
    root = ElementTree.fromstring(svg)
    assert root.get("width") is None
    assert root.get("viewBox")
    assert root.get("aria-label") == "Loss over training steps: train loss, val loss"
    assert "currentColor" in svg
    assert "#010203" not in svg
    assert curves.render({}) == ""


def test_the_same_log_gives_the_same_picture():
    log = {"train_loss": ([0, 1], [1.0, 0.5])}
    assert curves.render(log) == curves.render(log)


def test_a_negative_loss_is_drawn_on_a_linear_axis():
    assert "−0.4" in curves.render({"train_loss": ([0, 1], [0.5, -0.5])})


def test_long_logs_stay_small():
    steps = [float(step) for step in range(20_000)]
    assert len(curves.render({"train_loss": (steps, [1 + step % 7 for step in steps])})) < 60_000


def test_smoothing_is_a_running_mean_and_keeps_constants():
    assert curves.smooth([2.0] * 100) == pytest.approx([2.0] * 100)
    assert curves.smooth([0.0, 3.0, 6.0]) == [1.5, 3.0, 4.5]
