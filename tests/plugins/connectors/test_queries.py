"""The connectors that change the number of tokens, each against its formula written out."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mmgraph.connectors import TextContext, average_pool, locality, mlp, q_former, resampler, token_packer
from mmgraph.errors import UsageError
from mmgraph.testing import assert_conforms
from mmgraph.testing.stand_ins import Vectors
from mmgraph.testing.suite import stir

DIM = 8


def built(connector, side: int = 4):
    connector.build(Vectors(side=side), DIM)
    stir(connector)
    return connector.eval()


def tokens(side: int = 4) -> torch.Tensor:
    return torch.randn(2, side**2, 16)


def same(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def attend(attention, queries, keys):
    """One query, one head at a time."""
    heads, width = attention.num_heads, DIM // attention.num_heads
    query = attention.query(queries)
    key, value = attention.key_value(keys).chunk(2, -1)
    rows = []
    for q in query:
        parts = []
        for h in range(heads):
            own = slice(h * width, (h + 1) * width)
            parts.append(torch.softmax(key[:, own] @ q[own] / width**0.5, 0) @ value[:, own])
        rows.append(torch.cat(parts))
    return attention.output(torch.stack(rows))


@pytest.mark.parametrize("cls", [average_pool, locality, mlp, q_former, resampler, token_packer])
def test_contract(cls):
    assert_conforms("connectors", cls)


def test_mlp_is_two_layers():
    connector, given = built(mlp(2.0)), tokens()
    first, _, second = connector.layers
    hidden = F.gelu(given @ first.weight.T + first.bias)
    assert first.out_features == 2 * DIM
    same(connector(given), hidden @ second.weight.T + second.bias)


def test_average_pool_averages_each_region():
    connector, given = built(average_pool(4)), tokens()
    region = given.view(2, 4, 4, 16)[:, 2:, :2].mean((1, 2))  # lower left
    same(connector(given)[:, 2], connector.projection(region))


def test_resampler_reads_tokens_and_queries():
    connector, given = built(resampler(3, 1, num_heads=2)), tokens()
    (layer,) = connector.layers
    normed = layer.query_norm(connector.queries)
    keys = torch.cat((layer.token_norm(connector.projection(given[1]) + connector.places), normed))
    queries = connector.queries + attend(layer.attention, normed, keys)
    same(connector(given)[1], connector.norm(queries + layer.feed_forward(queries)))


def test_q_former_reads_the_text_then_the_picture():
    connector, given = built(q_former(3, 1, num_heads=2)), tokens()
    words = TextContext(torch.randn(2, 5, DIM), torch.tensor([[True] * 5, [True] * 2 + [False] * 3]))
    (layer,) = connector.layers
    joined = torch.cat((connector.queries, words.embeddings[1, :2]))
    normed = layer.self_norm(joined)
    queries = (joined + attend(layer.self_attention, normed, normed))[:3]
    seen = layer.token_norm(connector.projection(given[1]) + connector.places)
    queries = queries + attend(layer.cross_attention, layer.query_norm(queries), seen)
    same(connector(given, words)[1], connector.norm(queries + layer.feed_forward(queries)))


def test_q_former_may_ignore_the_text():
    assert q_former().text_aware
    assert not q_former(text=False).text_aware


def test_locality_sees_its_region_and_the_next_only():
    connector = built(locality(16, 1), side=8)
    given = torch.randn(1, 64, 16, requires_grad=True)
    connector.after = torch.nn.Identity()
    connector.before[1].layers[1] = torch.nn.Identity()  # the norm mixes the whole picture
    connector(given)[0, 0].sum().backward()
    reached = given.grad[0].abs().sum(-1).view(8, 8) > 0
    assert reached[:3, :3].all()  # a region of 2 x 2, and one token around it
    assert not reached[3:].any()
    assert not reached[:, 3:].any()


def test_token_packer_reads_its_own_region():
    connector, given = built(token_packer(4, 2)), tokens()
    region = given[0].view(4, 4, 16)[:2, 2:].flatten(0, 1)  # upper right
    query = connector.coarse(region.mean(0, keepdim=True))
    fine = connector.token_norm(connector.fine(region) + connector.places)
    query = query + attend(connector.attention, connector.query_norm(query), fine)
    same(connector(given)[0, 1], (query + connector.feed_forward(query))[0])


@pytest.mark.parametrize("cls", [average_pool, locality, token_packer])
def test_queries_lie_on_a_grid(cls):
    with pytest.raises(UsageError, match="num_queries 6 must be a square"):
        cls(6)


def test_regions_divide_the_grid():
    with pytest.raises(UsageError, match="num_queries 9 divides a grid of 4 x 4 tokens into no equal regions"):
        token_packer(9).build(Vectors(side=4), DIM)


def test_heads_divide_the_width():
    with pytest.raises(UsageError, match="num_heads 3 must divide the width 8"):
        resampler(num_heads=3).build(Vectors(), DIM)
