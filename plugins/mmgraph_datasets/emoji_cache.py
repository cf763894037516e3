"""The cache of pictures and catalogue: one file, written whole or not at all.

A writer holds a lock, writes a temporary file beside the goal, flushes it to disk and renames it; a kill at
any moment leaves either the old file or the new one. A checksum inside finds damage of other origin.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import safetensors.torch
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from mmgraph.errors import RunError
from mmgraph_datasets import emoji_pictures
from mmgraph_datasets.emoji_catalogue import Emoji, versions

CACHE_VERSION = 1
"""Raised whenever the catalogue or the drawing of pictures changes."""

FOLDER_VARIABLE = "MMGRAPH_CACHE"
LOCK_SECONDS = 300.0
log = logging.getLogger(__name__)


def folder(cache_dir: str | None = None) -> Path:
    """Return the cache folder: `cache_dir`, else MMGRAPH_CACHE, else the platform's own."""
    chosen = cache_dir or os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("mmgraph"))


def load(size: int, cache_dir: str | None = None) -> tuple[list[Emoji], Tensor]:
    """Return the catalogue and its pictures `(N, 3, size, size)`, from the cache or built now.

    Raises:
        RunError: If the folder cannot be written, or another process holds its lock for five minutes.
    """
    key = json.dumps([CACHE_VERSION, size, versions()], sort_keys=True)
    name = f"emoji-v{CACHE_VERSION}-{size}px-{hashlib.sha256(key.encode()).hexdigest()[:12]}.safetensors"
    path = folder(cache_dir) / name
    cached = _read(path)
    if cached is not None:
        return cached
    with _writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"), timeout=LOCK_SECONDS)
        try:
            with lock:
                cached = _read(path)  # another process may have built it while this one waited
                if cached is None:
                    if path.exists():
                        log.warning("The emoji cache %s is damaged; building it again.", path)
                    cached = emoji_pictures.build(size)
                    _write(path, *cached)
        except Timeout:
            raise RunError(
                f"another process has held {lock.lock_file} for {LOCK_SECONDS:.0f} seconds. End it, or set "
                f"{FOLDER_VARIABLE} to another folder."
            ) from None
    return cached


@contextlib.contextmanager
def _writing(where: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(
            f"cannot write the emoji cache in {where}: {error.strerror or error}. Make room there, or set "
            f"{FOLDER_VARIABLE} to a folder that can be written."
        ) from error


def _write(path: Path, catalogue: list[Emoji], pictures: Tensor) -> None:
    for stale in path.parent.glob(f"{path.name}.*.partial"):  # of a killed writer: this one holds the lock
        stale.unlink(missing_ok=True)
    text = json.dumps([dataclasses.asdict(e) for e in catalogue], ensure_ascii=False).encode()
    records = torch.frombuffer(bytearray(text), dtype=torch.uint8)
    tensors = {"pictures": pictures, "records": records, "checksum": _checksum(pictures, records)}
    data = safetensors.torch.save(tensors)
    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".partial", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _read(path: Path) -> tuple[list[Emoji], Tensor] | None:
    """Return what the file holds, or None if it is missing or damaged."""
    try:
        state = path.stat()
    except OSError:
        return None
    return _parse(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=1)
def _parse(path: Path, changed: int, length: int) -> tuple[list[Emoji], Tensor] | None:
    """Read a file once per process, unless it changed since."""
    try:
        tensors = safetensors.torch.load(path.read_bytes())
        pictures, records = tensors["pictures"], tensors["records"]
        if not torch.equal(tensors["checksum"], _checksum(pictures, records)):
            return None
        catalogue = [Emoji.load(record) for record in json.loads(records.numpy().tobytes())]
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError):
        return None
    return catalogue, pictures


def _checksum(pictures: Tensor, records: Tensor) -> Tensor:
    digest = hashlib.sha256(pictures.contiguous().numpy().tobytes())
    digest.update(records.numpy().tobytes())
    return torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8)
