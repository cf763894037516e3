"""Every tutorial runs to its end, through the cache that the site's build uses: each runs once."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmgraph.docs import places, running, tutorial

PLACES = places.find(Path(__file__))
ALL_CPU_SECONDS = 35 * 60


@pytest.mark.slow
@pytest.mark.timeout(2000)
@pytest.mark.parametrize("path", tutorial.paths(PLACES.sources), ids=lambda path: path.stem)
def test_a_tutorial_runs(path: Path) -> None:
    found = running.outcome(tutorial.read(path), PLACES)
    assert 0 < found.cpu_seconds <= running.CPU_LIMIT


@pytest.mark.slow
def test_all_of_them_keep_their_budget() -> None:
    read = [tutorial.read(path) for path in tutorial.paths(PLACES.sources)]
    assert sum(running.outcome(each, PLACES).cpu_seconds for each in read) <= ALL_CPU_SECONDS
