from __future__ import annotations

import pytest
import torch

from mmgraph.adjacency import Adjacency
from mmgraph.graph_batches import collate
from mmgraph.graph_encoders import gps, rgcn
from mmgraph.graph_samplers import k_hop, none


@pytest.fixture(scope="module")
def graph():
    generator = torch.Generator().manual_seed(0)
    pairs = torch.randint(0, 40, (2, 90), generator=generator)
    types = torch.randint(0, 3, (90,), generator=generator)
    return Adjacency.of(torch.cat((pairs, pairs.flip(0)), 1), types.repeat(2), 40, 3)


def test_holds_every_edge_between_the_members_and_no_other(graph):
    nodes = torch.tensor([3, 8, 3])
    found = collate(graph, nodes, k_hop(8, 2).sample(graph, nodes, seed=1))
    assert found.nodes[found.place[found.seed]].tolist() == nodes.tolist()
    assert found.nodes.tolist() == sorted(set(found.nodes.tolist()))
    assert (found.graph.diff() >= 0).all()
    for row in range(3):
        members = found.nodes[found.place[found.graph == row]].tolist()
        assert len(set(members)) == len(members)
        receiver, sender, kind = graph.gather(torch.tensor(members).numpy())
        expected = {
            (int(s), members[r], int(k)) for r, s, k in zip(receiver, sender, kind, strict=True) if int(s) in members
        }
        own = found.graph[found.edge_index[1]] == row
        assert (found.graph[found.edge_index[0]][own] == row).all()
        ends = found.nodes[found.place[found.edge_index[:, own]]]
        assert set(zip(*ends.tolist(), found.edge_type[own].tolist(), strict=True)) == expected


def test_neighbours_are_where_they_are_said_to_be(graph):
    nodes = torch.tensor([3, 8])
    neighbourhood = k_hop(30, 1, per_relation=2).sample(graph, nodes)
    found = collate(graph, nodes, neighbourhood)
    there = found.nodes[found.place[found.neighbour]]
    assert torch.equal(there[neighbourhood.valid], neighbourhood.nodes[neighbourhood.valid])
    padded = ~neighbourhood.valid
    assert padded.any()
    assert torch.equal(found.neighbour[padded], found.seed[:, None].expand_as(padded)[padded])


@pytest.mark.parametrize("encoder", [rgcn(2), gps(1)])
def test_a_nodes_token_does_not_depend_on_the_batch(graph, encoder):
    torch.manual_seed(0)
    encoder.build(5, 8, 3)
    features = torch.randn(40, 5)
    sampler = k_hop(6, 2)

    def token(nodes):
        batch = collate(graph, nodes, sampler.sample(graph, nodes))
        return encoder(features[batch.nodes][batch.place], batch.edge_index, batch.edge_type, batch.graph)[batch.seed]

    together, alone = token(torch.tensor([3, 8, 11, 30])), token(torch.tensor([8]))
    torch.testing.assert_close(together[1:2], alone)


def test_without_neighbours_every_node_stands_alone(graph):
    nodes = torch.tensor([3, 8])
    found = collate(graph, nodes, none().sample(graph, nodes))
    assert found.neighbour.shape == (2, 0)
    assert found.nodes.tolist() == [3, 8]
    ends = found.nodes[found.place[found.edge_index]]
    assert (ends[0] == ends[1]).all()


def test_a_crowded_node_keeps_the_edges_by_which_it_was_reached():
    hub = torch.stack((torch.arange(1, 1000), torch.zeros(999, dtype=torch.long)))
    graph = Adjacency.of(hub, torch.arange(999) % 2, 1000, 2)
    nodes = torch.tensor([0])
    neighbourhood = k_hop(8, 1, per_relation=4).sample(graph, nodes)
    found = collate(graph, nodes, neighbourhood, max_degree=16)
    assert neighbourhood.valid.all()
    reached = set(found.edge_index[0][found.edge_index[1] == found.seed[0]].tolist())
    assert set(found.neighbour[0].tolist()) <= reached
    assert found.edge_type[found.edge_index[1] == found.seed[0]].bincount().tolist() == [4, 4]
