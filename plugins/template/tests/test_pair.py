from dataclasses import replace

import torch
from mmgraph_template.pair import PairInjector

from mmgraph.graph_injectors import NodeTokens
from mmgraph.graph_samplers import Neighbourhood
from mmgraph.testing import assert_conforms


def test_keeps_the_contract():
    assert_conforms("graph_injectors", PairInjector)


def test_the_second_token_is_the_mean_of_the_neighbours_that_there_are():
    injector = PairInjector(bias=False)
    injector.build(1, 1, 1)
    torch.nn.init.ones_(injector.own.weight)
    torch.nn.init.ones_(injector.others.weight)
    empty = torch.zeros(1, 3, dtype=torch.long)
    around = Neighbourhood(empty, empty, empty, torch.zeros(1, 3), torch.tensor([[True, True, False]]))
    nodes = NodeTokens(
        torch.tensor([[5.0]]),
        torch.tensor([[[1.0], [3.0], [100.0]]]),
        around,
        torch.zeros(1, 1, 1),
        torch.ones(1, 1, dtype=torch.bool),
        torch.zeros(1, 4, dtype=torch.long),
    )
    assert injector(nodes).flatten().tolist() == [5, 2]
    alone = replace(nodes, neighbourhood=replace(around, valid=torch.zeros(1, 3, dtype=torch.bool)))
    assert injector(alone).flatten().tolist() == [5, 0]
