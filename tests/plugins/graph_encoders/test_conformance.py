from __future__ import annotations

import pytest

from mmgraph import registry
from mmgraph.graph_encoders import basic_gnn, gps, mlp, rgcn, sage
from mmgraph.testing import assert_conforms

FIRST_PARTY = [entry.name for entry in registry.declared("graph_encoders") if entry.distribution == "mmgraph"]


@pytest.mark.parametrize("name", FIRST_PARTY)
def test_contract(name):
    assert_conforms("graph_encoders", registry.load("graph_encoders", name))


@pytest.mark.parametrize(
    "make",
    [
        lambda: sage(3, dropout=0.2),
        lambda: rgcn(1, num_bases=2),
        lambda: gps(1, num_heads=2, walk_length=3),
        lambda: mlp(rgcn(2)),
        lambda: basic_gnn("GIN"),
        lambda: basic_gnn("GAT", 3, options={"heads": 2, "norm": "layer_norm", "norm_kwargs": {"mode": "node"}}),
    ],
)
def test_contract_with_other_options(make):
    assert_conforms("graph_encoders", type(make()), make)
