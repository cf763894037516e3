"""Run a tutorial once, and remember what it gave under a key of everything that it depends on."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmgraph.docs import figures
from mmgraph.docs.places import Places
from mmgraph.docs.tutorial import Cell, Tutorial
from mmgraph.errors import RunError

CPU_LIMIT = 180.0
"""CPU-seconds of one tutorial: three minutes of one core."""

HANG = 900
"""Seconds of one cell after which it counts as hanging."""

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""Colours and other commands to a terminal."""

VERSIONS = ("torch", "lightning", "matplotlib", "numpy", "ipykernel", "diffusers", "timm", "torch-geometric")

MEASURE = """
import json as _json, pathlib as _pathlib, re as _re, resource as _resource
_own, _others = (_resource.getrusage(w) for w in (_resource.RUSAGE_SELF, _resource.RUSAGE_CHILDREN))
_status = _pathlib.Path("/proc/self/status")  # the peak since this program began; the other is its parent's too
_peak = _re.search(r"VmHWM:\\s+(\\d+)", _status.read_text() if _status.exists() else "")
print(_json.dumps({
    "cpu_seconds": _own.ru_utime + _own.ru_stime + _others.ru_utime + _others.ru_stime,
    "memory_gb": max(int(_peak[1]) if _peak else _own.ru_maxrss, _others.ru_maxrss) / 2**20,
}))
"""


@dataclass(frozen=True)
class Output:
    """What a cell showed: `kind` is text, markdown, svg or png (base64)."""

    kind: str
    content: str


@dataclass(frozen=True)
class Outcome:
    """What running a tutorial gave: outputs of each code cell, CPU-seconds, and peak memory in GiB."""

    outputs: tuple[tuple[Output, ...], ...]
    cpu_seconds: float
    memory_gb: float


def key(tutorial: Tutorial, places: Places) -> str:
    """Return the key of a run: its code, the code and data of mmgraph and its plugins, committed results that the code
    names, and versions that matter."""
    digest = hashlib.sha256()
    for cell in tutorial.code:
        digest.update(b"\0" + cell.source.encode())
    for path in sorted(places.results.glob("*")):
        if path.is_file() and any(path.name in cell.source for cell in tutorial.code):
            digest.update(b"\0" + path.name.encode() + b"\0" + path.read_bytes())
    for path in _dependencies(places.root):
        digest.update(str(path.relative_to(places.root)).encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    versions = [platform.python_version(), *(f"{name} {importlib.metadata.version(name)}" for name in VERSIONS)]
    digest.update("\n".join([*versions, figures.SETUP]).encode())
    return digest.hexdigest()[:24]


def _dependencies(root: Path) -> Iterator[Path]:
    own = root / "mmgraph" / "docs"
    for folder in (root / "mmgraph", root / "plugins"):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and own not in path.parents:
                yield path


def outcome(tutorial: Tutorial, places: Places) -> Outcome:
    """Return what the tutorial gives: from the cache, or by running it now.

    Raises:
        RunError: If a cell fails, or the run takes longer than a tutorial may.
    """
    file = places.cache / tutorial.slug / f"{key(tutorial, places)}.json"
    if not file.is_file():
        found = execute(tutorial)
        file.parent.mkdir(parents=True, exist_ok=True)
        for old in file.parent.glob("*.json"):
            old.unlink()
        part = file.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(asdict(found)), encoding="utf-8")
        part.replace(file)
    return _load(file)


def latest(tutorial: Tutorial, places: Places) -> Outcome | None:
    """Return what the last run gave, whatever has changed since; None if it never ran or its cells are others."""
    for file in (places.cache / tutorial.slug).glob("*.json"):
        found = _load(file)
        if len(found.outputs) == len(tutorial.code):
            return found
    return None


def _load(file: Path) -> Outcome:
    record = json.loads(file.read_text(encoding="utf-8"))
    outputs = tuple(tuple(Output(**output) for output in cell) for cell in record["outputs"])
    return Outcome(outputs, record["cpu_seconds"], record["memory_gb"])


def execute(tutorial: Tutorial) -> Outcome:
    """Run every cell in a new kernel, in an empty folder, on one thread."""
    import nbformat
    from nbclient import NotebookClient

    sources = [figures.SETUP, *(cell.source for cell in tutorial.code), MEASURE]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "100"}
    environment.pop("MPLBACKEND", None)
    with (
        tempfile.TemporaryDirectory(prefix="mmgraph-tutorial-") as folder,
        tempfile.TemporaryDirectory(prefix="mmgraph-kernel-") as sockets,
    ):
        client = NotebookClient(
            notebook, timeout=HANG, kernel_name="python3", resources={"metadata": {"path": folder}}, record_timing=False
        )
        manager: Any = client.create_kernel_manager()
        manager.transport, manager.ip = "ipc", os.path.join(sockets, "kernel")  # no port that others could reach
        with client.setup_kernel(env=environment):
            for position, cell in enumerate(notebook.cells):
                _run(client, cell, position, tutorial)
        shown = [tuple(_outputs(cell, folder)) for cell in notebook.cells]
    measured = json.loads(shown.pop()[0].content)
    found = Outcome(tuple(shown[1:]), **measured)
    if found.cpu_seconds > CPU_LIMIT:
        raise RunError(
            f"{tutorial.path.name} took {found.cpu_seconds:.0f} CPU-seconds; a tutorial may take {CPU_LIMIT:.0f}. "
            "Train smaller or for fewer steps."
        )
    return found


def _run(client: Any, cell: Any, position: int, tutorial: Tutorial) -> None:
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    own: Cell | None = tutorial.code[position - 1] if 0 < position <= len(tutorial.code) else None
    where = f"{tutorial.path.name}, line {own.line}" if own else tutorial.path.name
    try:
        client.execute_cell(cell, position)
    except CellTimeoutError as error:
        raise RunError(f"{where}: the cell ran for {HANG} s and was stopped.\n{cell.source}") from error
    except CellExecutionError as error:
        frame = re.search(r"Cell In\[\d+\], line (\d+)", _ANSI.sub("", str(error.traceback)))
        failed = int(frame[1]) if frame else 0
        numbered = enumerate(cell.source.splitlines(), 1)
        source = "\n".join(f"{'--> ' if number == failed else '    '}{line}" for number, line in numbered)
        raise RunError(f"{where}: {error.ename}: {error.evalue}\nin the cell\n{source}") from error


def _outputs(cell: Any, folder: str) -> Iterator[Output]:
    """Yield what the page shows of a cell; consecutive streams become one text."""
    text = ""
    drawn = any("image/svg+xml" in output.get("data", {}) for output in cell.get("outputs", []))
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            text += output.text
            continue
        if text:
            yield Output("text", _clean(text, folder))
            text = ""
        if output.output_type == "execute_result" and drawn:
            continue  # the repr of the last artist says nothing
        data = output.get("data", {})
        for mime, kind in (
            ("image/svg+xml", "svg"),
            ("image/png", "png"),
            ("text/markdown", "markdown"),
            ("text/plain", "text"),
        ):
            if mime in data:
                yield Output(kind, _clean(data[mime], folder) if kind == "text" else data[mime])
                break
    if text:
        yield Output("text", _clean(text, folder))


def _clean(text: str, folder: str) -> str:
    """Drop colours, keep the last state of each progress line, and name files from the tutorial's own folder."""
    text = _ANSI.sub("", text).replace("\r\n", "\n")
    lines = [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in text.split("\n")]
    for place in (os.path.realpath(folder), folder):
        lines = [line.replace(f"{place}{os.sep}", "").replace(place, ".") for line in lines]
    return "\n".join(lines).strip("\n")
