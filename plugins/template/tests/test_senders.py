import torch
from mmgraph_template.senders import SendersGraphSampler

from mmgraph.adjacency import Adjacency
from mmgraph.testing import assert_conforms


def test_keeps_the_contract():
    assert_conforms("graph_samplers", SendersGraphSampler)


def test_senders_and_not_receivers():
    adjacency = Adjacency.of(torch.tensor([[3, 1, 0], [0, 0, 2]]), torch.tensor([1, 0, 0]), 4, 2)
    found = SendersGraphSampler(size=3).sample(adjacency, torch.tensor([0, 3]))
    assert found.nodes.tolist() == [[1, 3, 0], [0, 0, 0]]
    assert found.relation.tolist() == [[0, 1, -1], [-1, -1, -1]]
    assert found.valid.tolist() == [[True, True, False], [False] * 3]
