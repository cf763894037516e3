"""What metrics.json holds, checked before it is written and after it is read.

A shape is a type, a tuple of alternatives, a list of one shape, or a dictionary; in a dictionary the key
`*` stands for any name, and a name that ends in `?` may be missing.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from mmgraph.errors import RunError

SCHEMA = 1
"""Raised whenever the meaning of a field changes."""

Number = (int, float)
Maybe = (int, float, None)

UNDERSTANDING = {"*": {"accuracy": Number, "n": int, "chance": Number, "majority": Maybe, "ci95": [Number]}}

SCORES = {
    "*": {
        "value": Number,
        "n": int,
        "candidates": (int, None),
        "chance": Maybe,
        "ci95": ([Number], None),
        "spread": Maybe,
        "baselines": {"*": Number},
    }
}

POPULATIONS = {"trained?": SCORES, "unseen?": SCORES}

METRICS: dict[str, Any] = {
    "schema": int,
    "recipe": str,
    "seed": (int, None),
    "protocol": str,
    "split": str,
    "command": str,
    "versions": {"python": str, "torch": str, "lightning": str, "mmgraph": str},
    "hardware": {
        "cpu": str,
        "cores": int,
        "threads": int,
        "memory_gb": Maybe,
        "device": str,
        "system": str,
    },
    "understanding": UNDERSTANDING,
    "understanding_trained": UNDERSTANDING,
    "generation": POPULATIONS,
    "reconstruction": POPULATIONS,
    "captioning?": POPULATIONS,
    "drawing?": {"*": POPULATIONS},
    "losses?": {"*": {"*": {"value": Number, "n": int, "ci95": [Number], "by_time": {"*": Number}}}},
    "graph": {"*": object},
    "training": {
        "seconds": Maybe,
        "cpu_seconds": Maybe,
        "steps": Maybe,
        "samples_per_second": Maybe,
        "tokens_per_second": Maybe,
        "peak_memory_mb": Maybe,
        "parameters": Maybe,
        "trained_parameters?": Maybe,
        "active_parameters": Maybe,
        "visual_tokens": Maybe,
        "command?": (str, None),
        "budget?": (str, None),
        "stream?": (str, None),
        "logged?": {"*": Number},
    },
    "evaluation": {
        "seconds": Number,
        "seed": int,
        "limit": (int, None),
        "guidance": object,
        "num_steps": (int, None),
    },
    "data": {
        "dataset": str,
        "description": str,
        "credits": str,
        "pictures": {"*": int},
        "size": ([int], None),
        "compared": int,
    },
    "tokenizers": [{"name": str, "type": str, "modality": str, "discrete": bool, "tokens": (int, None)}],
    "legend": {"*": {"label": str, "text": str, "better": str, "headline": bool}},
    "notes": [str],
}


def check(metrics: Any) -> None:
    """Raise unless the metrics have every field, of its type, and all numbers are finite.

    Raises:
        RunError: Naming each field that is wrong.
    """
    problems = list(_problems(metrics, METRICS, "metrics"))
    if problems:
        raise RunError(f"metrics.json does not fit schema {SCHEMA}: {'; '.join(problems[:5])}.")


def read(path: Path) -> dict[str, Any]:
    """Return the metrics of a file.

    Raises:
        RunError: If it is missing, no JSON, or does not fit the schema.
    """
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"there is no {path}; run `mmgraph evaluate --run {path.parent}` first.") from None
    except json.JSONDecodeError as error:
        raise RunError(f"{path} is no JSON ({error}); evaluate the run again.") from error
    found = metrics.get("schema") if isinstance(metrics, dict) else None
    if found != SCHEMA:
        raise RunError(f"{path} has schema {found}, this version reads {SCHEMA}; evaluate the run again.")
    check(metrics)
    return metrics


def _problems(value: Any, shape: Any, path: str) -> list[str]:
    if shape is object:
        return []
    if isinstance(shape, tuple):
        alternatives = [_problems(value, option, path) for option in shape]
        return [] if any(not found for found in alternatives) else [f"{path} is {_tell(value)}"]
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{path} is {_tell(value)}, not a list"]
        return [found for index, item in enumerate(value) for found in _problems(item, shape[0], f"{path}[{index}]")]
    if isinstance(shape, dict):
        return _fields(value, shape, path)
    if shape is None:
        return [] if value is None else [f"{path} is {_tell(value)}"]
    if isinstance(value, bool) and shape is not bool:
        return [f"{path} is a bool"]
    if not isinstance(value, shape):
        return [f"{path} is {_tell(value)}, not {shape.__name__}"]
    if isinstance(value, float) and not math.isfinite(value):
        return [f"{path} is {value}"]
    return []


def _fields(value: Any, shape: dict[str, Any], path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path} is {_tell(value)}, not an object"]
    if "*" in shape:
        return [found for key, item in value.items() for found in _problems(item, shape["*"], f"{path}.{key}")]
    names = {name.rstrip("?"): name for name in shape}
    found = [f"{path}.{key} is not known" for key in value if key not in names]
    for name, key in names.items():
        if name in value:
            found += _problems(value[name], shape[key], f"{path}.{name}")
        elif not key.endswith("?"):
            found.append(f"{path}.{name} is missing")
    return found


def _tell(value: Any) -> str:
    return "null" if value is None else f"{type(value).__name__} {value!r}"[:60]
