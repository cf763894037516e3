from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmgraph.evaluation.studies import Study
from mmgraph.evaluation.studies.reading import parse

from .fakes import Launcher

NAMING = "understanding.name.accuracy"


@pytest.fixture
def launcher(metrics_and_examples) -> Callable[..., Launcher]:
    """Make a launcher of runs that cost nothing."""
    return lambda *arguments, **options: Launcher(copy.deepcopy(metrics_and_examples[0]), *arguments, **options)


@pytest.fixture
def make_study(tmp_path: Path) -> Callable[..., Study]:
    """Make a study of two arms on two files."""
    for name in ("plain", "deep"):
        (tmp_path / f"{name}.yaml").write_text(f"# {name}\nmodel: {{}}\n")
    values: dict[str, Any] = {
        "name": "depth",
        "arms": {
            "plain": {"config": "plain.yaml", "baseline": True},
            "deep": {"config": "deep.yaml", "set": {"model.init_args.depth": 6}},
        },
        "seeds": 3,
        "budget": "30steps",
        "measures": [NAMING],
    }
    return lambda **changes: parse({**values, **changes}, tmp_path, "study.yaml")
