from __future__ import annotations

import pytest
import torch

from mmgraph.configured import config_of, instantiate
from mmgraph.errors import UsageError
from mmgraph.graph_encoders import none, rgcn, sage
from mmgraph.graph_fusion import FusedGraphEncoder

EDGES, TYPES = torch.tensor([[0, 1, 2, 1], [1, 0, 1, 2]]), torch.tensor([0, 0, 1, 1])
PRESENT = {"text": torch.tensor([True, True, False, True]), "image": torch.tensor([True, False, False, True])}


def features(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {"text": torch.randn(4, 5, generator=generator), "image": torch.randn(4, 7, generator=generator)}


def built(fusion, encoder=None, **options):
    torch.manual_seed(0)
    network = FusedGraphEncoder(encoder or rgcn(2), fusion, **options)
    network.build({"text": 5, "image": 7}, 8, 2)
    return network


@pytest.mark.parametrize("fusion", ["early", "per_modality", "experts"])
class TestEveryFusion:
    def test_gives_a_token_per_node_and_trains_everything(self, fusion):
        network = built(fusion)
        found = network(features(), PRESENT, EDGES, TYPES)
        assert found.shape == (4, 8)
        (found * torch.randn(4, 8)).sum().backward()
        assert not [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]

    def test_absent_contents_are_not_read(self, fusion):
        network = built(fusion)
        changed = {name: torch.where(PRESENT[name][:, None], held, 99.0) for name, held in features().items()}
        assert torch.equal(network(changed, PRESENT, EDGES, TYPES), network(features(), PRESENT, EDGES, TYPES))
        one = {"text": PRESENT["text"], "image": ~PRESENT["image"]}
        assert not torch.equal(network(features(), one, EDGES, TYPES), network(features(), PRESENT, EDGES, TYPES))

    def test_is_written_and_made_again(self, fusion):
        config = config_of(FusedGraphEncoder(sage(3), fusion))
        again = instantiate(config)
        assert config_of(again) == config
        assert again.encoder.num_layers == 3


def test_early_is_one_graph_over_what_stands_side_by_side():
    network = built("early")
    parts = [
        torch.where(PRESENT[name][:, None], network.project[name](held), network.null[name])
        for name, held in features().items()
    ]
    expected = network.encoder(torch.cat(parts, 1), EDGES, TYPES)
    torch.testing.assert_close(network(features(), PRESENT, EDGES, TYPES), expected)


def test_per_modality_passes_messages_apart():
    network = built("per_modality")
    weights = [network.encoders[name].convolutions[0].weight for name in ("text", "image")]
    assert weights[0] is not weights[1]
    assert network.encoder._parameters == {}
    assert not list(network.encoder.parameters())


def test_experts_mix_by_the_gate():
    network = built("experts", none(), num_experts=3)
    part = torch.randn(4, 8)
    share = torch.softmax(network.gate(part), -1)
    expected = sum(share[:, k : k + 1] * network.experts[k](part) for k in range(3))
    torch.testing.assert_close(network._mixed(part), expected)


@pytest.mark.parametrize(
    ("options", "message"), [({"fusion": "late"}, "fusion must be"), ({"num_experts": 0}, "num_experts must be")]
)
def test_wrong_options(options, message):
    with pytest.raises(UsageError, match=message):
        FusedGraphEncoder(none(), **options)
