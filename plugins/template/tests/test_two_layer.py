import torch
from mmgraph_template.two_layer import TwoLayerConnector
from torch.nn import functional as F

from mmgraph.testing import assert_conforms


def test_keeps_the_contract():
    assert_conforms("connectors", TwoLayerConnector)


class Pixels:
    token_dim = 6


def test_is_norm_layer_gelu_layer():
    connector = TwoLayerConnector(expansion=1.5)
    connector.build(Pixels(), 8)
    tokens = torch.randn(2, 5, 6)
    first, second = connector.layers[1], connector.layers[3]
    hidden = F.gelu(F.layer_norm(tokens, (6,)) @ first.weight.T + first.bias)
    assert hidden.shape == (2, 5, 12)
    torch.testing.assert_close(connector(tokens), hidden @ second.weight.T + second.bias)
