from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mmgraph.connectors import fusion
from mmgraph.errors import UsageError
from mmgraph.testing import assert_conforms
from mmgraph.testing.stand_ins import Vectors
from mmgraph.testing.suite import stir

DIM = 8


def built(side: int = 2):
    connector = fusion()
    connector.build(Vectors(), DIM)
    connector.build_beside(Vectors(), Vectors(3, side=side))
    stir(connector)
    return connector


def by_hand(connector, own: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The formula, one place at a time."""
    gain, first, last = connector.fusion[0].weight, connector.fusion[1], connector.fusion[3]
    rows = []
    for left, right in zip(own, second, strict=True):
        plain = connector.own.weight @ left + connector.own.bias
        both = torch.cat((plain, right))
        normed = both / (both.square().mean() + torch.finfo(torch.float32).eps).sqrt() * gain
        inner = first.weight @ normed + first.bias
        inner = inner * 0.5 * (1 + torch.erf(inner / 2**0.5))
        rows.append(plain + last.weight @ inner + last.bias)
    return torch.stack(rows)


def test_contract():
    assert_conforms("connectors", fusion)


def test_equals_the_formula():
    connector = built()
    own, second = torch.randn(1, 4, 16), torch.randn(1, 4, 48)
    projected = second[0] @ connector.second.weight.T + connector.second.bias
    torch.testing.assert_close(connector.fuse(own, second)[0], by_hand(connector, own[0], projected))


def test_with_no_second_reading_the_size_of_a_token_is_kept():
    connector, own = built(), torch.randn(1, 4, 16)
    bias = connector.own.bias
    torch.testing.assert_close(connector(3 * own) - bias, 3 * (connector(own) - bias))
    assert connector(own).std() > 0


def test_a_fresh_one_lets_the_own_tokens_through():
    connector = fusion()
    connector.build(Vectors(), DIM)
    connector.build_beside(Vectors(), Vectors(3))
    own, second = torch.randn(1, 4, 16), torch.randn(1, 4, 48)
    assert torch.equal(connector.fuse(own, second), connector(own))


def test_a_finer_grid_is_brought_to_the_places_of_the_own():
    """Bilinear from 4 x 4 to 2 x 2 is the mean of each block of four."""
    connector = built(side=4)
    own, second = torch.randn(2, 4, 16), torch.randn(2, 16, 48)
    blocks = F.avg_pool2d(second.transpose(1, 2).unflatten(2, (4, 4)), 2).flatten(2).transpose(1, 2)
    connector._grids, found = None, connector.fuse(own, second)
    torch.testing.assert_close(found, connector.fuse(own, blocks))


def test_tokens_without_places():
    class Bag(Vectors):
        @property
        def grid(self):
            raise ValueError("none")

    connector = fusion()
    connector.build(Vectors(), DIM)
    with pytest.raises(UsageError, match="fusion joins tokens place by place, but Vectors gives 4 and Bag 16"):
        connector.build_beside(Vectors(), Bag(side=4))
    connector.build_beside(Vectors(), Bag())
