from __future__ import annotations

import torch

from mmgraph.connectors import linear
from mmgraph.testing import assert_conforms
from mmgraph.testing.stand_ins import Vectors


def test_contract():
    assert_conforms("connectors", linear)


def test_one_affine_map_per_token():
    connector = linear()
    connector.build(Vectors(), 6)
    tokens = torch.randn(2, 5, 16)
    weight, bias = connector.projection.weight, connector.projection.bias
    expected = torch.einsum("nkd,ed->nke", tokens, weight) + bias
    torch.testing.assert_close(connector(tokens), expected)


def test_without_bias_zero_stays_zero():
    connector = linear(bias=False)
    connector.build(Vectors(), 6)
    assert not connector(torch.zeros(1, 2, 16)).any()
