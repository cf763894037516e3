"""On what, and with which versions, numbers were taken."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch


def versions() -> dict[str, str]:
    """Return the versions that decide a result."""
    import lightning

    from mmgraph import __version__

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lightning": lightning.__version__,
        "mmgraph": __version__,
    }


def hardware(device: torch.device | str = "cpu") -> dict[str, Any]:
    """Return processor, cores this process may use, threads, memory and device."""
    kind = torch.device(device).type
    return {
        "cpu": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "memory_gb": _memory(),
        "device": torch.cuda.get_device_name() if kind == "cuda" else kind,
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    table = Path("/proc/cpuinfo")
    if table.is_file():
        for line in table.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(("model name", "Model\t")):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or "unknown"


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):  # not told on this system
        return None
