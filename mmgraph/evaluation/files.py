"""Files of a run directory, written so that a reader sees the old one or the new one, never half of one."""

from __future__ import annotations

import os
from pathlib import Path

from mmgraph.errors import RunError

METRICS = "metrics.json"
EXAMPLES = "samples.json"
SHEET = "samples.png"
REPORT = "report.html"


def write(path: Path, content: str | bytes) -> None:
    """Write a file in one step.

    Raises:
        RunError: If it cannot be written; what was there before is unchanged.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_bytes(content if isinstance(content, bytes) else content.encode())
        os.replace(partial, path)
    except OSError as error:
        raise RunError(
            f"{path} could not be written: {error.strerror or error}. Make room or check its rights."
        ) from error
    finally:
        partial.unlink(missing_ok=True)
