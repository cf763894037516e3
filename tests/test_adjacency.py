from __future__ import annotations

import numpy as np
import pytest
import torch

from mmgraph.adjacency import Adjacency, hashed
from mmgraph.errors import UsageError


def random_graph(nodes=50, edges=300, relations=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    index = torch.randint(0, nodes, (2, edges), generator=generator)
    types = torch.randint(0, relations, (edges,), generator=generator)
    return index, types, Adjacency.of(index, types, nodes, relations)


def edges_of(adjacency, nodes):
    row, sender, kind = adjacency.gather(nodes)
    return sorted(zip(nodes[row].tolist(), sender.tolist(), kind.tolist(), strict=True))


def test_rows_are_the_in_edges():
    index, types, adjacency = random_graph()
    everyone = np.arange(50)
    expected = sorted(zip(index[1].tolist(), index[0].tolist(), types.tolist(), strict=True))
    assert edges_of(adjacency, everyone) == expected
    assert adjacency.degrees(everyone).tolist() == np.bincount(index[1], minlength=50).tolist()
    row, _, _ = adjacency.gather(np.array([7, 3, 7]))
    assert (np.diff(row) >= 0).all()
    assert (row == 0).sum() == (row == 2).sum() == adjacency.degrees(np.array([7]))[0]


def test_the_order_of_edges_does_not_matter():
    index, types, adjacency = random_graph()
    shuffled = torch.randperm(300)
    assert Adjacency.of(index[:, shuffled], types[shuffled], 50, 3).digest == adjacency.digest
    assert Adjacency.of(index, types.flip(0), 50, 3).digest != adjacency.digest


def test_saved_arrays_are_mapped_and_equal(tmp_path):
    _, _, adjacency = random_graph()
    adjacency.save(tmp_path / "graph")
    mapped = Adjacency.open(tmp_path / "graph")
    assert isinstance(mapped.senders, np.memmap)
    assert mapped.digest == adjacency.digest
    nodes = np.array([4, 9])
    assert edges_of(mapped, nodes) == edges_of(adjacency, nodes)
    with pytest.raises(UsageError, match="holds no saved adjacency"):
        Adjacency.open(tmp_path / "none")


def test_hidden_edges_are_gone_in_both_directions_and_every_relation():
    index, _, adjacency = random_graph()
    pair = index[:, :2]
    view = adjacency.without(pair)
    gone = {(int(a), int(b)) for a, b in pair.t()} | {(int(b), int(a)) for a, b in pair.t()}
    everyone = np.arange(50)
    expected = [edge for edge in edges_of(adjacency, everyone) if edge[:2] not in gone]
    assert edges_of(view, everyone) == expected
    assert view.degrees(everyone).sum() == 300
    assert not view.whole
    assert view.digest != adjacency.digest
    twice = view.without(index[:, 2:3])
    assert len(edges_of(twice, everyone)) < len(expected)
    assert len(edges_of(adjacency, everyone)) == 300


def test_a_crowded_node_costs_no_more_than_the_limit():
    hub = torch.stack((torch.arange(1, 1000), torch.zeros(999, dtype=torch.long)))
    adjacency = Adjacency.of(hub, torch.zeros(999, dtype=torch.long), 1000, 1)
    draws = [adjacency.gather(np.array([0]), limit=50, keys=np.array([key]))[1] for key in (0, 0, 1)]
    assert 40 <= len(draws[0]) <= 50
    assert len(set(draws[0].tolist())) == len(draws[0])
    assert draws[0].tolist() == draws[1].tolist()
    assert draws[0].tolist() != draws[2].tolist()


def test_hashes_are_even_and_repeatable():
    drawn = hashed(1, np.arange(100_000)) / 2.0**64
    assert abs(drawn.mean() - 0.5) < 0.005
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.01
    assert abs(np.corrcoef(drawn, hashed(2, np.arange(100_000)) / 2.0**64)[0, 1]) < 0.01
    assert hashed(1, np.array([5]), 2)[0] == hashed(1, np.array([3, 5]), 2)[1]
    assert hashed(1, 2) != hashed(2, 1)


@pytest.mark.parametrize(
    ("index", "types", "message"),
    [([[0], [9]], [0], "nodes from 0 to 9"), ([[0], [1]], [4], "types go from 4 to 4")],
)
def test_edges_outside_of_the_graph(index, types, message):
    with pytest.raises(UsageError, match=message):
        Adjacency.of(torch.tensor(index), torch.tensor(types), 3, 2)
