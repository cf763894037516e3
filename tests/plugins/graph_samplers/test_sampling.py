from __future__ import annotations

import numpy as np
import pytest
import torch

from mmgraph.adjacency import Adjacency
from mmgraph.errors import RunError, UsageError
from mmgraph.graph_samplers import full, k_hop, neighbor_loader, ppr, random, same_class, semantic_ppr
from mmgraph.leaks import VisibleAttributes


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MMGRAPH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def graph():
    generator = torch.Generator().manual_seed(0)
    pairs = torch.randint(0, 60, (2, 150), generator=generator)
    pairs = pairs[:, pairs[0] != pairs[1]]
    types = torch.randint(0, 3, (pairs.shape[1],), generator=generator)
    return Adjacency.of(torch.cat((pairs, pairs.flip(0)), 1), types.repeat(2), 61, 3)


def dense(adjacency):
    """Return how many edges lead from each node (column) to each node (row)."""
    everyone = np.arange(adjacency.num_nodes)
    row, sender, _ = adjacency.gather(everyone)
    counts = np.zeros((adjacency.num_nodes,) * 2)
    np.add.at(counts, (row, sender), 1)
    return counts


def breadth_first(adjacency, start):
    counts, hop, front, step = dense(adjacency), {start: 0}, [start], 0
    while front:
        step += 1
        front = [v for v in range(adjacency.num_nodes) if v not in hop and any(counts[u, v] for u in front)]
        hop.update(dict.fromkeys(front, step))
    return hop


def chosen(found, row=0):
    return found.nodes[row][found.valid[row]].tolist()


class TestNeighborLoader:
    def test_uncapped_is_breadth_first_search(self, graph, compiled):
        sampler = neighbor_loader(60, [-1, -1])
        for node in (0, 7, 60):
            found = sampler.sample(graph, torch.tensor([node]))
            hops = dict(zip(chosen(found), found.hop[0][found.valid[0]].tolist(), strict=True))
            assert hops == {v: hop for v, hop in breadth_first(graph, node).items() if 0 < hop <= 2}

    def test_a_cap_holds_at_each_node_and_another_seed_draws_others(self, graph, compiled):
        sampler = neighbor_loader(60, [2, 1])
        drawn = [sampler.sample(graph, torch.tensor([0]), seed=seed) for seed in range(8)]
        for found in drawn:
            hops = found.hop[0][found.valid[0]]
            assert 0 < int((hops == 1).sum()) <= 2
            assert int((hops == 2).sum()) <= 2
        assert len({tuple(chosen(found)) for found in drawn}) > 1

    def test_who_was_led_to_by_a_hidden_edge_alone_is_gone(self, compiled):
        chain = Adjacency.of(torch.tensor([[0, 1], [1, 2]]), torch.tensor([0, 1]), 3, 2)
        sampler = neighbor_loader(4, [-1, -1])
        found = sampler.sample(chain, torch.tensor([2]))
        assert chosen(found) == [1, 0]
        assert found.relation[0][:2].tolist() == [1, 0]
        assert chosen(sampler.sample(chain.without(torch.tensor([[1], [2]])), torch.tensor([2]))) == []
        assert chosen(sampler.sample(chain.without(torch.tensor([[0], [1]])), torch.tensor([2]))) == [1]

    def test_without_compiled_sampling_it_says_what_to_use(self, monkeypatch):
        from torch_geometric import typing

        monkeypatch.setattr(typing, "WITH_PYG_LIB", False)
        monkeypatch.setattr(typing, "WITH_TORCH_SPARSE", False)
        with pytest.raises(UsageError, match=r"needs pyg-lib.*k_hop"):
            neighbor_loader()

    def test_numbers_out_of_range(self, compiled):
        with pytest.raises(UsageError, match="size must be at least 1"):
            neighbor_loader(0)
        for wrong in ([], [4, 0], [-2]):
            with pytest.raises(UsageError, match="num_neighbors must be"):
                neighbor_loader(4, wrong)


class TestKHop:
    def test_uncapped_is_breadth_first_search(self, graph):
        sampler = k_hop(60, 2, per_relation=1000)
        for node in (0, 7, 60):
            found = sampler.sample(graph, torch.tensor([node]))
            hops = dict(zip(chosen(found), found.hop[0][found.valid[0]].tolist(), strict=True))
            expected = {v: hop for v, hop in breadth_first(graph, node).items() if 0 < hop <= 2}
            assert hops == expected
            assert (found.hop[0][found.valid[0]].diff() >= 0).all()

    def test_a_crowded_relation_does_not_crowd_out_a_rare_one(self):
        senders = torch.arange(1, 102)
        edges = torch.stack((senders, torch.zeros_like(senders)))
        types = torch.tensor([0] * 100 + [1])
        star = Adjacency.of(edges, types, 102, 2)
        found = k_hop(5, 1, per_relation=4).sample(star, torch.tensor([0]))
        assert found.relation[0].tolist().count(1) == 1
        assert found.relation[0].tolist().count(0) == 4

    def test_every_sender_is_drawn_as_often(self):
        senders, receivers = torch.arange(20).repeat(2000), torch.arange(20, 2020).repeat_interleave(20)
        edges = torch.stack((senders, receivers))
        both = Adjacency.of(edges, torch.zeros(40_000, dtype=torch.long), 2020, 1)
        found = k_hop(5, 1, per_relation=5).sample(both, torch.arange(20, 2020))
        assert found.valid.all()
        assert np.abs(np.bincount(found.nodes.flatten(), minlength=20) / 2000 - 0.25).max() < 0.05

    def test_another_seed_draws_others(self, graph):
        nodes = torch.arange(60)
        one, two = (k_hop(4, 2, per_relation=1).sample(graph, nodes, seed=seed) for seed in (0, 1))
        assert not torch.equal(one.nodes, two.nodes)

    def test_wrong_numbers(self):
        with pytest.raises(UsageError, match="per_relation must be at least 1"):
            k_hop(per_relation=0)


class TestPPR:
    def test_is_the_solution_of_the_linear_system(self, graph):
        counts = dense(graph)
        degree = counts.sum(1, keepdims=True)
        step = np.divide(counts, degree, out=np.zeros_like(counts), where=degree > 0)
        restart = 0.2
        exact = restart * np.linalg.inv(np.eye(61) - (1 - restart) * step)  # row v: walks from v
        sampler = ppr(60, restart, num_steps=150, tolerance=0.0)
        nodes = torch.tensor([0, 7, 33, 60])
        found = sampler.sample(graph, nodes)
        for row, node in enumerate(nodes.tolist()):
            score = np.zeros(61)
            score[chosen(found, row)] = found.weight[row][found.valid[row]]
            expected = exact[node].copy()
            expected[node] = 0
            np.testing.assert_allclose(score, expected, atol=1e-6)
            assert (found.weight[row].diff() <= 0).all()
        for node, hop in breadth_first(graph, 7).items():
            if hop:
                assert int(found.hop[1][found.nodes[1] == node][0]) == hop

    def test_small_mass_is_let_go(self, graph):
        exact, rough = (ppr(10, tolerance=tolerance).sample(graph, torch.arange(61)) for tolerance in (0.0, 1e-3))
        every = ppr(60, tolerance=0.0).sample(graph, torch.arange(61))
        for v in range(60):
            score = dict(zip(chosen(every, v), every.weight[v].tolist(), strict=False))
            best, got = (sum(score[u] for u in chosen(found, v)) for found in (exact, rough))
            assert got >= 0.95 * best, v

    def test_agrees_with_pygs_diffusion(self, graph):
        from torch_geometric.transforms import GDC

        everyone = np.arange(61)
        row, sender, _ = graph.gather(everyone)
        edges = torch.from_numpy(np.stack((row, sender)))
        matrix, _ = GDC().transition_matrix(edges, torch.ones(len(row)), 61, "row")
        weights = torch.ones(len(row)) / torch.from_numpy(np.bincount(row, minlength=61)[row]).float()
        diffused = GDC().diffusion_matrix_exact(matrix, weights, 61, method="ppr", alpha=0.15)
        found = ppr(60, num_steps=200, tolerance=0.0).sample(graph, torch.tensor([7]))
        theirs = diffused[7]
        mine = torch.zeros(61)
        mine[found.nodes[0][found.valid[0]]] = found.weight[0][found.valid[0]]
        mine[7] = theirs[7]
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)

    def test_the_table_is_kept_and_read_back(self, graph, cache):
        nodes = torch.tensor([0, 7])
        first = ppr(8).sample(graph, nodes)
        (path,) = cache.glob("ppr-*.safetensors")
        changed = path.stat().st_mtime_ns
        again = ppr(8).sample(graph, nodes)
        assert torch.equal(first.nodes, again.nodes)
        assert path.stat().st_mtime_ns == changed
        on_demand = ppr(8, cache_nodes=0).sample(graph, nodes)
        assert torch.equal(first.nodes, on_demand.nodes)
        torch.testing.assert_close(first.weight, on_demand.weight)
        ppr(9).sample(graph, nodes)
        assert len(list(cache.glob("ppr-*.safetensors"))) == 2

    def test_a_damaged_table_is_made_again(self, graph, cache):
        first = ppr(8).sample(graph, torch.tensor([7]))
        (path,) = cache.glob("ppr-*.safetensors")
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data))
        assert torch.equal(ppr(8).sample(graph, torch.tensor([7])).nodes, first.nodes)
        path.write_bytes(b"short")
        assert torch.equal(ppr(8).sample(graph, torch.tensor([7])).nodes, first.nodes)
        assert not list(cache.glob("*.partial"))

    def test_a_folder_that_cannot_be_written(self, graph, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(RunError, match="cannot write the table of neighbours"):
            ppr(8, cache_dir=str(tmp_path / "file")).sample(graph, torch.tensor([7]))

    def test_a_hub_does_not_make_a_walk_long(self):
        leaves = torch.arange(1, 20_000)
        star = torch.stack((leaves, torch.zeros_like(leaves)))
        both = torch.cat((star, star.flip(0)), 1)
        adjacency = Adjacency.of(both, torch.zeros(both.shape[1], dtype=torch.long), 20_000, 1)
        gathered = []
        original = adjacency.gather

        def counting(nodes, **rest):
            found = original(nodes, **rest)
            gathered.append(len(found[0]))
            return found

        adjacency.gather = counting
        found = ppr(8, cache_nodes=0).sample(adjacency, torch.tensor([5]))
        assert chosen(found) == [0]
        assert sum(gathered) < 100

    def test_wrong_numbers(self):
        with pytest.raises(UsageError, match="size and num_steps must be"):
            ppr(0)
        with pytest.raises(UsageError, match="restart must be between"):
            ppr(restart=1.0)


class TestSemanticPPR:
    def test_ranks_the_candidates_by_what_is_visible(self, graph):
        nodes = torch.tensor([7, 12])
        features = torch.randn(61, 4, generator=torch.Generator().manual_seed(3))
        seen = torch.arange(61) % 5 > 0
        attributes = VisibleAttributes.of({"text": features}, {"text": seen}, target="image")
        candidates = ppr(20).sample(graph, nodes)
        found = semantic_ppr(6, 20).sample(graph, nodes, attributes=attributes)
        for row, node in enumerate(nodes.tolist()):
            near = [v for v in chosen(candidates, row) if seen[v]]
            alike = torch.nn.functional.cosine_similarity(features[near], features[node][None])
            expected = [near[i] for i in alike.argsort(descending=True)[:6].tolist()]
            assert chosen(found, row) == expected

    def test_a_node_that_shows_nothing_keeps_the_order_of_pagerank(self, graph):
        nothing = VisibleAttributes.of({"text": torch.randn(61, 4)}, {"text": torch.arange(61) != 7}, target=None)
        found = semantic_ppr(6, 20).sample(graph, torch.tensor([7]), attributes=nothing)
        assert chosen(found) == chosen(ppr(20).sample(graph, torch.tensor([7])))[:6]

    def test_needs_attributes_and_candidates(self, graph):
        with pytest.raises(UsageError, match="needs `attributes`"):
            semantic_ppr().sample(graph, torch.tensor([7]))
        with pytest.raises(UsageError, match="size must be from 1 to num_candidates"):
            semantic_ppr(9, 8)


class TestControls:
    def test_random_is_even_over_all_others(self, graph):
        found = [random(6).sample(graph, torch.arange(61), seed=seed).nodes for seed in range(40)]
        counts = np.zeros((61, 61))
        for nodes in found:
            np.add.at(counts, (np.arange(61)[:, None], nodes.numpy()), 1)
        assert not counts.diagonal().any()
        assert np.abs(counts.sum(0) / (40 * 60) - 0.1).max() < 0.035

    def test_random_in_a_large_graph(self):
        empty = torch.zeros(2, 0, dtype=torch.long)
        large = Adjacency.of(empty, empty[0], 5000, 1)
        found = random(16).sample(large, torch.arange(200))
        assert found.valid.all()
        assert abs(found.nodes.double().mean() - 2500) < 100

    def test_same_class_gives_that_class(self, graph):
        classes = torch.arange(61) % 3
        classes[5] = -1
        nodes = torch.arange(61)
        found = same_class(30).sample(graph, nodes, classes=classes)
        for node in range(61):
            mine = chosen(found, node)
            assert all(classes[v] == classes[node] for v in mine)
            wanted = int((classes == classes[node]).sum()) - 1 if node != 5 else 0
            assert len(mine) == wanted
        with pytest.raises(UsageError, match="needs `classes`"):
            same_class().sample(graph, nodes)

    def test_full_is_everyone_by_distance(self, graph):
        found = full().sample(graph, torch.tensor([7, 60]))
        assert found.nodes.shape == (2, 60)
        assert found.valid.all()
        assert sorted(found.nodes[0].tolist()) == [v for v in range(61) if v != 7]
        hops = breadth_first(graph, 7)
        for node, hop in zip(found.nodes[0].tolist(), found.hop[0].tolist(), strict=True):
            assert hop == hops.get(node, 0)
        assert not found.hop[1].any()
        with pytest.raises(UsageError, match="takes graphs of up to 10 nodes"):
            full(10).sample(graph, torch.tensor([7]))
