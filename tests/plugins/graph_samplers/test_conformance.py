from __future__ import annotations

import pytest

from mmgraph import registry
from mmgraph.testing import assert_conforms

FIRST_PARTY = [entry.name for entry in registry.declared("graph_samplers") if entry.distribution == "mmgraph"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MMGRAPH_CACHE", str(tmp_path))


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("name", FIRST_PARTY)
def test_contract(name):
    assert_conforms("graph_samplers", registry.load("graph_samplers", name))


def test_the_ones_with_a_table_keep_the_contract_without_it():
    for name in ("ppr", "semantic_ppr"):
        cls = registry.load("graph_samplers", name)
        assert_conforms("graph_samplers", cls, lambda cls=cls: cls(cache_nodes=0))
