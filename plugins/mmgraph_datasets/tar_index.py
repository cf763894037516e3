"""Where each sample of a tar shard lies, so that any of them can be read alone.

A WebDataset shard is an uncompressed tar whose neighbouring members with one key (the name up to its first dot)
are one sample. The headers are read once; what they say is cached in a small file that is written whole or not at
all, and used as long as the shard has the same size and time of change.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mmgraph.errors import RunError
from mmgraph_datasets.emoji_cache import folder as cache_folder

VERSION = 1
"""Raised whenever the index of an unchanged shard changes."""
log = logging.getLogger(__name__)

Member = tuple[int, int]
"""First byte and number of bytes."""


@dataclass(frozen=True, slots=True)
class TarSample:
    """One sample of a shard: its key, and where the member of each extension lies."""

    key: str
    members: dict[str, Member]


@dataclass(frozen=True, slots=True)
class Index:
    """The samples of a shard in their order, and what is wrong with it ('': nothing)."""

    samples: tuple[TarSample, ...]
    problem: str


def load(shard: Path, cache_dir: str | None = None) -> Index:
    """Return the index of a shard, from the cache or made now.

    A shard that is cut short keeps its whole samples; `problem` says so.

    Raises:
        RunError: If it cannot be read, or is no plain tar.
    """
    try:
        state = shard.stat()
    except OSError as error:
        raise RunError(f"the shard {shard} cannot be read: {error.strerror}.") from error
    key = json.dumps([VERSION, str(shard.resolve()), state.st_size, state.st_mtime_ns])
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    path = cache_folder(cache_dir) / f"tar-{shard.stem[:40]}-{digest}.json"
    cached = _read(path, key)
    if cached is None:
        cached = _scan(shard)
        _write(path, key, cached)
    return cached


def read(shard: Path, member: Member) -> bytes:
    """Return a member's content.

    Raises:
        OSError: If the shard has become shorter since it was indexed.
    """
    first, length = member
    with shard.open("rb") as file:
        file.seek(first)
        content = file.read(length)
    if len(content) != length:
        raise OSError(f"{shard.name} ends within the member")
    return content


def _scan(shard: Path) -> Index:
    samples: list[TarSample] = []
    problem = ""
    length = shard.stat().st_size
    try:
        with tarfile.open(shard, "r:") as archive:
            try:
                for member in archive:
                    if not member.isfile():
                        continue
                    if member.offset_data + member.size > length:
                        raise tarfile.ReadError("a member goes beyond the end")
                    _put(samples, member)
                if not _ended(shard, archive.offset, length):
                    problem = "it ends without the closing blocks of a tar"
            except tarfile.TarError as error:
                problem = str(error) or type(error).__name__
    except (tarfile.TarError, EOFError) as error:
        packed = "It is packed: unpack it to a plain .tar, for packed members cannot be read one by one."
        advice = packed if _packed(shard) else "Download it again."
        raise RunError(f"the shard {shard} ({length:,} bytes) is no plain tar: {error}. {advice}") from error
    except OSError as error:
        raise RunError(f"the shard {shard} cannot be read: {error.strerror or error}.") from error
    return Index(tuple(samples), problem)


def _put(samples: list[TarSample], member: tarfile.TarInfo) -> None:
    place, _, name = member.name.rpartition("/")
    stem, _, extension = name.partition(".")
    if not stem or not extension:  # hidden files and folders' leftovers
        return
    key = f"{place}/{stem}" if place else stem
    if not samples or samples[-1].key != key:
        samples.append(TarSample(key, {}))
    samples[-1].members[extension.lower()] = (member.offset_data, member.size)


def _ended(shard: Path, offset: int, length: int) -> bool:
    """Whether a block of zeros stands where the members end: tarfile stops at a damaged header without a word."""
    with shard.open("rb") as file:
        file.seek(offset)
        return offset + tarfile.BLOCKSIZE <= length and not any(file.read(tarfile.BLOCKSIZE))


def _packed(shard: Path) -> bool:
    with contextlib.suppress(tarfile.TarError, EOFError, OSError), tarfile.open(shard, "r:*"):
        return True
    return False


def _write(path: Path, key: str, index: Index) -> None:
    """Write the cache; a folder that cannot be written costs only the time to read the headers again."""
    rows = [[sample.key, sample.members] for sample in index.samples]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".partial", dir=path.parent)
    except OSError as error:
        log.warning("the index of a shard is not kept: %s cannot be written (%s).", path.parent, error.strerror)
        return
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"key": key, "problem": index.problem, "samples": rows}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except OSError as error:
        log.warning("the index of a shard is not kept: %s cannot be written (%s).", path.parent, error.strerror)
    finally:
        Path(name).unlink(missing_ok=True)


def _read(path: Path, key: str) -> Index | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["key"] != key:
            return None
        samples = tuple(
            TarSample(name, {extension: (int(first), int(length)) for extension, (first, length) in members.items()})
            for name, members in found["samples"]
        )
        return Index(samples, str(found["problem"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
