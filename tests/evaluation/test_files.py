from __future__ import annotations

import os

import pytest

from mmgraph.errors import RunError
from mmgraph.evaluation import files, machine


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "metrics.json"
    files.write(path, "old")

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(RunError, match="No space left"):
        files.write(path, b"new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["metrics.json"]


def test_the_machine_says_what_it_is():
    found = machine.hardware()
    assert found["cpu"]
    assert 1 <= found["cores"] <= (os.cpu_count() or 1)
    assert found["threads"] == 1  # tests run on one
    assert found["memory_gb"] is None or found["memory_gb"] > 0.1
    assert found["device"] == "cpu"
    assert set(machine.versions()) == {"python", "torch", "lightning", "mmgraph"}
