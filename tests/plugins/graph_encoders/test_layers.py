"""Parity with PyG: the same weights give the same numbers."""

from __future__ import annotations

import copy

import pytest
import torch
from mmgraph_graph_encoders import gps as gps_module
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GCN, FAConv, GINConv, GPSConv, GraphSAGE, RGCNConv
from torch_geometric.transforms import SIGN, AddRandomWalkPE

from mmgraph.errors import UsageError
from mmgraph.graph_encoders import basic_gnn, fagcn, gatv2, gps, mlp, none, rgcn, sage, sign


@pytest.fixture
def graph():
    torch.manual_seed(0)
    edges = torch.randint(0, 12, (2, 40)).unique(dim=1)
    return torch.randn(12, 5), edges, torch.randint(0, 3, (edges.shape[1],))


def built(encoder, dim=8):
    encoder.build(5, dim, 3)
    return encoder.eval()


@pytest.mark.parametrize(
    ("encoder", "network"),
    [
        (sage(3), lambda: GraphSAGE(5, 8, 3, 8)),
        (gatv2(2, num_heads=2), lambda: GAT(5, 8, 2, 8, v2=True, heads=2)),
        (basic_gnn("GCN", 2, options={"jk": "cat"}), lambda: GCN(5, 8, 2, 8, jk="cat")),
    ],
)
def test_ready_made_networks(graph, encoder, network):
    features, edges, types = graph
    built(encoder)
    other = network().eval()
    other.load_state_dict(encoder.network.state_dict())
    torch.testing.assert_close(encoder(features, edges, types), other(features, edges))


def test_sage_is_the_mean_beside_the_node(graph):
    features, edges, types = graph
    encoder = built(sage(1))
    layer = encoder.network.convs[0]
    mean = torch.zeros(12, 5)
    for node in range(12):
        senders = edges[0][edges[1] == node]
        mean[node] = features[senders].mean(0) if len(senders) else 0
    expected = layer.lin_l(mean) + layer.lin_r(features)
    torch.testing.assert_close(encoder(features, edges, types), expected)


def test_rgcn(graph):
    features, edges, types = graph
    encoder = built(rgcn(2, num_bases=2))
    layers = [RGCNConv(5, 8, 3, num_bases=2), RGCNConv(8, 8, 3, num_bases=2)]
    for layer, own in zip(layers, encoder.convolutions, strict=True):
        layer.load_state_dict(own.state_dict())
    expected = layers[1](layers[0](features, edges, types).relu(), edges, types)
    torch.testing.assert_close(encoder(features, edges, types), expected)


def test_fagcn(graph):
    features, edges, types = graph
    encoder = built(fagcn(2, keep=0.2))
    layers = [FAConv(8, eps=0.2).eval() for _ in range(2)]
    for layer, own in zip(layers, encoder.convolutions, strict=True):
        layer.load_state_dict(own.state_dict())
    start = encoder.first(features).relu()
    expected = encoder.last(layers[1](layers[0](start, start, edges), start, edges))
    torch.testing.assert_close(encoder(features, edges, types), expected)


def test_sign_is_pygs_transform_and_a_perceptron(graph):
    features, edges, types = graph
    encoder = built(sign(3))
    data = SIGN(3)(Data(x=features, edge_index=edges.contiguous()))
    expected = encoder.layers(torch.cat([data.x, data.x1, data.x2, data.x3], 1))
    torch.testing.assert_close(encoder(features, edges, types), expected)


def test_gps(graph):
    features, edges, types = graph
    encoder = built(gps(1, num_heads=2, walk_length=4))
    widths = [torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 8)]
    layer = GPSConv(8, GINConv(torch.nn.Sequential(*widths)), heads=2, norm="layer_norm", norm_kwargs={"mode": "node"})
    layer.load_state_dict(encoder.layers[0].state_dict())
    walks = AddRandomWalkPE(4)(Data(edge_index=edges, num_nodes=12)).random_walk_pe
    expected = layer.eval()(encoder.project(torch.cat((features, walks), 1)), edges)
    torch.testing.assert_close(encoder(features, edges, types), expected)


def test_walks_of_small_graphs_are_those_of_each_alone(graph, monkeypatch):
    _, edges, _ = graph
    both = torch.cat((edges, edges[:, :10] + 12), 1)
    batch = torch.tensor([0] * 12 + [1] * 12)
    found = gps_module.random_walk_encoding(both, 24, 5, batch)
    for first, own in ((0, edges), (12, edges[:, :10])):
        expected = AddRandomWalkPE(5)(Data(edge_index=own, num_nodes=12)).random_walk_pe
        torch.testing.assert_close(found[first : first + 12], expected)
    monkeypatch.setattr(gps_module, "DENSE", 1)
    torch.testing.assert_close(gps_module.random_walk_encoding(both, 24, 5, None), found)


def test_an_edge_that_is_there_twice_is_walked_twice_as_often(monkeypatch):
    edges = torch.tensor([[0, 0, 0, 1, 2], [1, 1, 2, 0, 0]])
    for limit in (2000, 1):
        monkeypatch.setattr(gps_module, "DENSE", limit)
        found = gps_module.random_walk_encoding(edges, 3, 2, None)
        torch.testing.assert_close(found[:, 1], torch.tensor([1.0, 2 / 3, 1 / 3]))


def test_types_matter_to_rgcn_and_not_to_sage(graph):
    features, edges, types = graph
    other = (types + 1) % 3
    for encoder, reads in ((rgcn(), True), (sage(), False)):
        built(encoder)
        same = torch.equal(encoder(features, edges, types), encoder(features, edges, other))
        assert same != reads


@pytest.mark.parametrize("pattern", [sage(2), gatv2(2), rgcn(2), fagcn(2), sign(2), gps(1)])
def test_mlp_has_the_parameters_of_what_it_is_compared_with(pattern):
    def count(encoder):
        encoder.build(20, 16, 3)
        return sum(parameter.numel() for parameter in encoder.parameters())

    control = mlp(pattern)
    got = count(control)
    assert not list(pattern.parameters())
    wanted = count(copy.deepcopy(pattern))
    assert abs(wanted - got) <= (20 + 1 + 16) / 2
    assert len(list(control.parameters())) == 4  # the pattern is counted and not trained along


def test_what_cannot_be_built_is_refused():
    with pytest.raises(UsageError, match="fewer than a perceptron"):
        mlp(none()).build(1, 1, 1)
    for encoder in (gatv2(num_heads=3), gps(num_heads=3)):
        with pytest.raises(UsageError, match=r"num_heads \(3\) must divide"):
            encoder.build(5, 8, 1)
    with pytest.raises(UsageError, match=r"no basic network 'GCM'\. Did you mean 'GCN'"):
        basic_gnn("GCM").build(5, 8, 1)
    with pytest.raises(UsageError, match="cannot be made with the options"):
        basic_gnn("GCN", options={"colour": 3}).build(5, 8, 1)
