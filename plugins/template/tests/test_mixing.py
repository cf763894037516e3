import torch
from mmgraph_template.mixing import MixingGraphEncoder

from mmgraph.testing import assert_conforms


def test_keeps_the_contract():
    assert_conforms("graph_encoders", MixingGraphEncoder)


def test_a_message_goes_from_the_first_row_to_the_second():
    encoder = MixingGraphEncoder(bias=False)
    encoder.build(1, 1, 1)
    torch.nn.init.ones_(encoder.own.weight)
    torch.nn.init.constant_(encoder.others.weight, 10.0)
    edges = torch.tensor([[0, 1], [2, 2]])
    found = encoder(torch.tensor([[1.0], [2.0], [4.0]]), edges, torch.zeros(2, dtype=torch.long))
    assert found.flatten().tolist() == [1, 2, 34]
