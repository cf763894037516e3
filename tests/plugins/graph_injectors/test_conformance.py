from __future__ import annotations

import pytest

from mmgraph import registry
from mmgraph.errors import UsageError
from mmgraph.graph_injectors import (
    attention_bias,
    gated_cross_attention,
    graph_positions,
    graph_q_former,
    linearised_neighbours,
    soft_prompt,
    textual_graph,
)
from mmgraph.testing import assert_conforms

FIRST_PARTY = [entry.name for entry in registry.declared("graph_injectors") if entry.distribution == "mmgraph"]


@pytest.mark.parametrize("name", FIRST_PARTY)
def test_first_party(name: str) -> None:
    assert_conforms("graph_injectors", registry.load("graph_injectors", name))


@pytest.mark.parametrize(
    "make",
    [
        lambda: soft_prompt(3),
        lambda: graph_q_former(1, 2, max_hops=1),
        lambda: gated_cross_attention(1),
        lambda: linearised_neighbours(2),
        lambda: textual_graph(1, 2),
        lambda: attention_bias(2, 2, max_hops=1),
        lambda: graph_positions([]),
        lambda: graph_positions(["relation"], max_hops=1),
    ],
)
def test_with_options(make) -> None:
    assert_conforms("graph_injectors", type(make()), make)


def test_options_out_of_range() -> None:
    with pytest.raises(UsageError, match="at least 1 token"):
        soft_prompt(0)
    with pytest.raises(UsageError, match="textual_graph needs at least 1 token"):
        textual_graph(0)
    with pytest.raises(UsageError, match="at least 1 query"):
        graph_q_former(0)
    with pytest.raises(UsageError, match="must divide the model width 30"):
        graph_q_former(2, 4).build(30, 0, 1)
    with pytest.raises(UsageError, match="at least 1 layer"):
        attention_bias(0)
    with pytest.raises(UsageError, match="attention_bias must divide the model width 30"):
        attention_bias(1, 4).build(30, 0, 1)
    with pytest.raises(UsageError, match="unknown encoding of graph_positions 'hops'"):
        graph_positions(["hops"])
