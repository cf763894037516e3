"""What hop, relation and nearness do to the tokens of the injectors that read them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from mmgraph.graph_injectors import attention_bias, graph_positions
from mmgraph.testing.graph_injectors import _nodes as nodes_of
from mmgraph.testing.suite import stir

FIELDS = {"hop": lambda x: x % 3 + 1, "relation": lambda x: (x + 1) % 3, "weight": lambda x: x / 2 + 0.01}


def built(injector, stirred=True):
    injector.build(32, 0, 3)
    if stirred:
        stir(injector)
    return injector.eval()


def changed(nodes, field):
    around = nodes.neighbourhood
    new = torch.where(around.valid, FIELDS[field](getattr(around, field)), getattr(around, field))
    return replace(nodes, neighbourhood=replace(around, **{field: new}))


@pytest.mark.parametrize("make", [attention_bias, graph_positions])
@pytest.mark.parametrize("field", FIELDS)
def test_each_field_changes_the_tokens(make, field):
    injector, nodes = built(make()), nodes_of(dim=32)
    assert not torch.allclose(injector(nodes), injector(changed(nodes, field)), atol=1e-5)


@pytest.mark.parametrize("field", FIELDS)
def test_a_position_that_is_left_out_changes_nothing(field):
    injector = built(graph_positions([name for name in FIELDS if name != field]))
    nodes = nodes_of(dim=32)
    assert torch.equal(injector(nodes), injector(changed(nodes, field)))


def test_at_the_start_it_is_plain_attention():
    """The shifts are zero: the layer is the one that a transformer has."""
    injector, nodes = built(attention_bias(1, 4), stirred=False), nodes_of(dim=32)
    tokens, valid = nodes.all
    (layer,) = injector.layers
    query, key, value = layer.query_key_value(layer.norm(tokens)).view(4, 4, 3, 4, 8).permute(2, 0, 3, 1, 4)
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=valid[:, None, None])
    wanted = tokens + layer.output(mixed.transpose(1, 2).reshape(4, 4, 32))
    wanted = wanted + layer.mlp(layer.second_norm(wanted))
    assert torch.allclose(injector(nodes), wanted, atol=1e-5)


def test_the_bias_by_hand():
    injector, nodes = built(attention_bias(1, 2, max_hops=2)), nodes_of(dim=32)
    (layer,) = injector.layers
    around = nodes.neighbourhood
    found = layer.bias(around)
    node, head, i, j = 0, 1, 1, 3  # from the first to the third neighbour
    wanted = layer.hop[1, 2, head] + layer.relation[around.relation[node, 2] + 1, head]
    wanted = wanted + layer.weight[head] * around.weight[node, 2].log()
    assert found[node, head, i, j].item() == pytest.approx(wanted.item(), abs=1e-5)
    own = layer.hop[1, 0, head] + layer.relation[0, head]
    assert found[node, head, i, 0].item() == pytest.approx(own.item(), abs=1e-5)
