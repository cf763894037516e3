"""The built site, once per session: at the path that MMGRAPH_SITE names, or built here through the same cache."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmgraph.docs import places
from tests.docs.serving import serve


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the strict build."""
    if "MMGRAPH_SITE" in os.environ:
        return Path(os.environ["MMGRAPH_SITE"])
    from mmgraph.docs import site

    folder = tmp_path_factory.mktemp("site")
    site.build(places.find(Path(__file__)), out=folder)
    return folder


@pytest.fixture(scope="session")
def served(built: Path) -> Iterator[str]:
    """The address of the built site on a local port, compressed as hosts do."""
    with serve(built) as address:
        yield address
