from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable

# before torch is imported: one thread is fastest at these sizes, and makes runs comparable
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from mmgraph.models import UnifiedModel
from mmgraph.sequence import Sample
from tests import tiny

_cache: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    """Give the session a cache folder of its own, which its processes share and the user's is safe from."""
    if "MMGRAPH_CACHE" not in os.environ:
        _cache.append(tempfile.mkdtemp(prefix="mmgraph-test-cache-"))
        os.environ["MMGRAPH_CACHE"] = _cache[0]
    torch.set_num_threads(1)


def pytest_unconfigure(config: pytest.Config) -> None:
    for folder in _cache:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def tiny_model() -> UnifiedModel:
    """A built model whose weights are stirred: gates that start at zero would hide mistakes."""
    return tiny.model()


@pytest.fixture
def make_model() -> Callable[..., UnifiedModel]:
    """The tiny model with other options."""
    return tiny.model


@pytest.fixture
def tiny_samples() -> list[Sample]:
    """Eight samples of draw, name and ask, texts of different lengths."""
    return tiny.samples()
