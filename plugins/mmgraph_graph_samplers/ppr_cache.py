"""Tables of neighbourhoods on disk: written whole or not at all, made again where damaged."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import safetensors.torch

from mmgraph.errors import RunError
from mmgraph.graph_samplers import Neighbourhood

VERSION = 1
"""Raised whenever a table would come out differently."""

FOLDER_VARIABLE = "MMGRAPH_CACHE"
FIELDS = ("nodes", "hop", "relation", "weight", "valid")


def folder(cache_dir: str | None = None) -> Path:
    """Return the cache folder: `cache_dir`, else MMGRAPH_CACHE, else the platform's own."""
    chosen = cache_dir or os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("mmgraph"))


def load(name: str, make: Callable[[], Neighbourhood], cache_dir: str | None = None) -> Neighbourhood:
    """Return the table called `name`, from disk or made now.

    Two processes may make the same table at once; both write the same, and the second replaces the first.

    Raises:
        RunError: If the folder cannot be written.
    """
    key = hashlib.sha256(f"{VERSION}:{name}".encode()).hexdigest()[:24]
    path = folder(cache_dir) / f"ppr-{key}.safetensors"
    found = _read(path)
    if found is not None:
        return found
    found = make()
    data = safetensors.torch.save({field: getattr(found, field).contiguous() for field in FIELDS})
    data += hashlib.sha256(data).digest()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".partial", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise RunError(
            f"cannot write the table of neighbours in {path.parent}: {error.strerror or error}. Make room there, set "
            f"{FOLDER_VARIABLE} to a folder that can be written, or set cache_nodes to 0."
        ) from error
    return found


def _read(path: Path) -> Neighbourhood | None:
    """Return what the file holds, or None if it is missing or damaged."""
    try:
        data = path.read_bytes()
        data, checksum = data[:-32], data[-32:]
        if hashlib.sha256(data).digest() != checksum:
            return None
        tensors = safetensors.torch.load(data)
        return Neighbourhood(*(tensors[field] for field in FIELDS))
    except (OSError, KeyError, safetensors.SafetensorError):
        return None
