from __future__ import annotations

import pytest
import torch

from mmgraph.datasets import shapes, synthetic_graph
from mmgraph.evaluation import drawing, losses, measuring, node_conditions, nodes, protocol
from mmgraph.evaluation.yardsticks import yardsticks
from mmgraph.graph_encoders import rgcn
from mmgraph.graph_injectors import soft_prompt
from mmgraph.graph_samplers import k_hop
from mmgraph.models import GraphContext, GraphControl
from mmgraph.models.graph_control import thin
from mmgraph.sequence import Segment
from mmgraph.testing.suite import stir
from mmgraph.tokenizers import patch, word
from tests import tiny


@pytest.fixture(scope="module")
def data():
    return synthetic_graph(num_nodes=120, graph=True, questions=["colour"], isolated=0.3, tasks={"draw": 1, "ask": 1})


@pytest.fixture(scope="module")
def model(data):
    tokenizers = {"text": word(), "image": patch(16, 8)}
    tokenizers["text"].fit(data.contents("text"))
    tokenizers["image"].fit(data.contents("image"))
    graph = GraphContext(k_hop(3), soft_prompt(2), encoder=rgcn(1), relations=list(data.graph.relations))
    return tiny.model(tokenizers=tokenizers, graph=graph, max_text=24)


def test_scores_of_all_nodes_of_isolated_ones_and_without_the_graph(model, data):
    found = nodes.measure(model, data, "test", limit=10)
    names = ("accuracy", "bits", "denoising")
    groups = ("isolated", "dropped", *(f"removed.{percent}" for percent in node_conditions.REMOVED))
    beside = [f"{group}.{name}" for group in groups for name in names]
    alike = {path for path in found if path.startswith("alike.")}
    assert set(found) - alike == {*names, *beside, "ceiling.accuracy", "ceiling.bits"}
    assert len(found["accuracy"].values) == len(found["bits"].values) == 10
    alone = {int(node) for node in torch.from_numpy(data.world.isolated).nonzero()}
    assert set(found["isolated.bits"].nodes) == set(found["bits"].nodes) & alone
    assert not torch.equal(found["bits"].values, found["dropped.bits"].values)
    told = nodes.section(found, 0)
    assert told["dropped"]["bits"]["value"] == pytest.approx(float(found["dropped.bits"].values.mean()))


def test_nodes_are_grouped_by_how_many_neighbours_are_of_their_class(model, data):
    share = node_conditions.alike(data.graph)
    classes, edges = data.graph.data.y, data.graph.edge_index.t().tolist()
    for node in range(data.graph.num_nodes):
        near = [int(classes[sender] == classes[node]) for sender, receiver in edges if receiver == node]
        assert share[node] == pytest.approx(sum(near) / len(near)) if near else share[node].isnan()
    found = nodes.measure(model, data, "test")
    rows = {name: found.get(f"alike.{name}.bits") for name in node_conditions.RANGES}
    assert sum(len(row.nodes) for row in rows.values() if row) == len(found["bits"].nodes) - len(
        found["isolated.bits"].nodes
    )
    for name, (low, high) in node_conditions.RANGES.items():
        assert all(low <= share[node] < high for node in (rows[name].nodes if rows[name] else ()))


def test_fewer_edges_are_part_of_more_and_none_is_no_edges(model, data):
    found = nodes.measure(model, data, "test", limit=12)
    scores = {percent: found[f"removed.{percent}.bits"].values for percent in node_conditions.REMOVED}
    assert torch.equal(scores[0], found["bits"].values)
    assert len({tuple(values.tolist()) for values in scores.values()}) == len(scores)
    assert model.graph.control == GraphControl()
    model.graph.control = GraphControl(edges="none")
    try:
        given = nodes.measure(model, data, "test", limit=12)
        torch.testing.assert_close(given["bits"].values, scores[100])
        assert not any(path.startswith("removed") for path in given), "an arm of an experiment is not thinned"
    finally:
        model.graph.control = GraphControl()
    edges, types = data.graph.edge_index, data.graph.edge_type
    kept = [set(map(tuple, torch.cat((thin(edges, types, s, 0)[0], thin(edges, types, s, 0)[1][None])).t().tolist()))
            for s in (0.0, 0.25, 0.5, 1.0)]  # fmt: skip
    assert kept[0] < kept[1] < kept[2] < kept[3]
    assert all((receiver, sender, kind) in kept[2] for sender, receiver, kind in kept[2])
    assert len(kept[2]) / len(kept[3]) == pytest.approx(0.5, abs=0.1)


def test_the_ceiling_is_what_the_exact_posterior_says_of_the_true_answers(data):
    asked = data.evaluation("test", "ask")
    found = nodes.ceiling(data, asked)
    truth = [data.names["colour"].index(sample.meta["answer"]) for sample in asked]
    told = data.posterior("colour")[[sample.meta["item"] for sample in asked]]
    assert found["ceiling.accuracy"].values.bool().tolist() == (told.argmax(1) == torch.tensor(truth)).tolist()
    assert found["ceiling.bits"].values.exp2() == pytest.approx(1 / told[range(len(truth)), truth].numpy(), rel=1e-4)
    assert nodes.ceiling(shapes(num_scenes=50), []) == {}


def test_bits_and_denoising_are_the_heads_own_losses(model, data):
    found = nodes.measure(model, data, "test", limit=6)
    held = losses.held_out(model, data, "test", limit=6)
    bits = float(found["bits"].values.mean())
    assert bits / 2 * torch.log(torch.tensor(2.0)) == pytest.approx(float(held["ask"]["text"].values.mean()), rel=1e-4)
    assert found["denoising"].values.tolist() == pytest.approx(held["draw"]["image"].values.tolist(), rel=1e-5)


def test_noise_is_paired_whatever_the_model(model, data):
    other = nodes.measure(stir_again(model), data, "test", limit=4)
    first = nodes.measure(model, data, "test", limit=4)
    assert other["bits"].nodes == first["bits"].nodes
    assert torch.equal(nodes.measure(model, data, "test", limit=4)["denoising"].values, first["denoising"].values)


def stir_again(model):
    import copy

    other = copy.deepcopy(model)
    stir(other, 5)
    return other


def test_data_sets_without_a_graph_have_no_such_scores(model):
    assert nodes.measure(model, shapes(num_scenes=50), "test") == {}


def test_yardsticks(data):
    found = yardsticks(data, "test")
    assert found["ceiling"]["accuracy"] > found["majority"]["accuracy"]
    assert set(found["neighbour copy"]) == {"accuracy", "pixel_error"}
    clear = synthetic_graph(
        num_nodes=300, distractors=0, isolated=0, rewired=0, questions=["colour"], tasks={"draw": 1, "ask": 1},
        relations={"same": relation("colour", 1.0)}, tree_size=15,
    )  # fmt: skip
    alike = yardsticks(clear, "test")
    assert alike["neighbour copy"]["accuracy"] > 0.7 > alike["majority"]["accuracy"]  # who has none in training errs
    alone = yardsticks(synthetic_graph(num_nodes=120, isolated=1.0, tasks={"draw": 1, "ask": 1}), "test")
    assert alone["neighbour copy"] == alone["majority"], "nobody to copy from"


def relation(factor, homophily):
    from mmgraph_datasets.synthetic_world import Relation

    return Relation(factor, homophily)


def test_questions_about_nodes_alone_are_enough_to_be_measured():
    """They show no picture, so that they are no questions of `understanding`."""
    asked_only = synthetic_graph(num_nodes=120, graph=True, questions=["colour"], tasks={"ask": 1})
    captions, asked = protocol._material(asked_only, "test")
    assert not any(captions.values())
    assert not any(asked.values())


def test_nodes_are_drawn_with_their_neighbourhoods_and_their_own_pictures_hidden(model, data, monkeypatch):
    asked, draw = [], drawing.draw
    monkeypatch.setattr(drawing, "draw", lambda model, chosen, **o: asked.extend(chosen) or draw(model, chosen, **o))
    captions, questions = protocol._material(data, "test")
    told = []
    found = measuring.measure(
        measuring.Material(
            model, data, "test", captions, questions, captions["trained"], [], [], 4, None, 2, 0, told.append
        )
    )
    assert {population: scores["oracle_all"]["n"] for population, scores in found.generation.items()} == {
        "trained": 4,
        "unseen": 4,
    }
    held_out = set(data.items("test"))
    assert [caption.item in held_out for caption in asked] == [False] * 4 + [True] * 4
    for caption in asked:
        node, text = (part.content for part in caption.given)
        assert (node.node, node.hidden, text) == (caption.item, ("image",), data.said(caption.item))
    again = draw(model, nodes_alone(asked[4:]), num_steps=2)
    assert not torch.equal(again.drawn, found.drawn["unseen"].drawn), "the neighbourhood is heard"


def nodes_alone(captions):
    from dataclasses import replace

    return [replace(caption, given=(Segment("graph", None), *caption.given[1:])) for caption in captions]
