from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from mmgraph.adjacency import Adjacency
from tests.benchmarks import graph_sampling, synthetic_graph


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph")
    graph_sampling.write(folder, 3000, block=1000)
    return folder


def test_the_written_graph_has_ten_edges_a_node(folder):
    adjacency = Adjacency.open(folder)
    degrees = adjacency.degrees(np.arange(3000))
    assert adjacency.num_nodes == 3000
    assert abs(degrees.mean() - 10) < 1
    assert degrees.max() > 40
    assert adjacency.senders.max() < 3000
    assert abs(np.bincount(adjacency.types) / adjacency.num_edges - 0.25).max() < 0.02


@pytest.mark.parametrize("sampler", ["k_hop", "ppr"])
def test_a_measurement_has_all_its_fields(folder, sampler, monkeypatch):
    monkeypatch.setattr(graph_sampling, "BATCHES", 2)
    found = graph_sampling.measure(folder, sampler)
    assert found["batches_per_cpu_second"] > 0
    assert 64 < found["places_per_batch"] <= 64 * 17
    assert found["edges_per_batch"] > 64


def test_rewiring_keeps_every_degree_of_every_relation():
    edges, types = torch.randint(0, 50, (2, 400)), torch.randint(0, 3, (400,))
    rewired, kinds = synthetic_graph.rewire(edges, types, 0)
    assert torch.equal(kinds, types)
    assert (rewired != edges).any(0).float().mean() > 0.8
    for kind in range(3):
        for end in (0, 1):
            before, after = (each[end, types == kind].bincount(minlength=50) for each in (edges, rewired))
            assert torch.equal(before, after)


def test_every_arm_of_every_world_has_a_row_and_none_is_run_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic_graph, "SEEDS", (7,))
    monkeypatch.setattr(synthetic_graph, "WORLDS", dict(list(synthetic_graph.WORLDS.items())[:1]))
    out = tmp_path / "rows.jsonl"
    flags = ["--out", str(out), "--steps", "2", "--nodes", "200"]
    assert synthetic_graph.main(flags) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["arm"] for row in rows] == [*synthetic_graph.ARMS, *synthetic_graph.YARDSTICKS]
    parameters = {row["arm"]: row.get("parameters") for row in rows}
    assert abs(parameters["mlp"] - parameters["rgcn"]) < 100
    accuracy = {row["arm"]: row["accuracy"] for row in rows}
    assert min(accuracy["Bayes"], accuracy["Bayes with labels"]) > max(accuracy[arm] for arm in synthetic_graph.ARMS)
    assert synthetic_graph.main(flags) == 0
    assert len(out.read_text().splitlines()) == len(rows)
