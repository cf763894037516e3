from __future__ import annotations

import math

import pytest
import torch

from mmgraph.datasets import synthetic_graph
from mmgraph.evaluation import items, links, node_texts, nodes
from mmgraph.graph_encoders import rgcn
from mmgraph.graph_injectors import soft_prompt
from mmgraph.graph_samplers import k_hop
from mmgraph.models import GraphContext
from mmgraph.sequence import Sample, Segment
from mmgraph.tokenizers import patch, word
from tests import tiny

TASKS = {"ask": 1, "describe": 1, "link": 1, "name": 1}


@pytest.fixture(scope="module")
def data():
    return synthetic_graph(
        num_nodes=200, graph=True, questions=["colour", "neighbours"], tasks=TASKS, num_negatives=4
    )


@pytest.fixture(scope="module")
def model(data):
    tokenizers = {"text": word(), "image": patch(16, 8)}
    tokenizers["text"].fit(data.contents("text"))
    tokenizers["image"].fit(data.contents("image"))
    graph = GraphContext(k_hop(3), soft_prompt(2), encoder=rgcn(1), relations=list(data.graph.relations))
    return tiny.model(tokenizers=tokenizers, graph=graph, max_text=32)


def query(number, count, joined=0):
    about = [{"query": number, "joined": place == joined, "item": 7, "other": place} for place in range(count)]
    return [Sample((Segment("text", "?"),), "link", 0, each) for each in about]


class TestRanked:
    @pytest.mark.parametrize("rank", [1, 2, 5])
    def test_by_hand(self, rank):
        scores = torch.arange(5.0, 0, -1)
        found = links.ranked([query(0, 5, rank - 1)], [scores])
        assert float(found["mrr"].values) == pytest.approx(1 / rank)
        assert [float(found[f"hits_{k}"].values) for k in links.HITS] == [float(rank <= k) for k in links.HITS]
        assert found["mrr"].nodes == (7,)

    def test_equal_scores_earn_what_guessing_does(self):
        asked = [query(number, 5) for number in range(400)]
        found = links.ranked(asked, [torch.zeros(5)] * 400)
        assert float(found["mrr"].values.mean()) == pytest.approx(sum(1 / r for r in range(1, 6)) / 5, abs=0.05)
        assert float(found["hits_1"].values.mean()) == pytest.approx(0.2, abs=0.07)

    def test_a_query_that_a_limit_cut_is_left_out(self):
        assert len(links.queries(query(0, 5) + query(1, 5) + query(2, 3))) == 2


def test_scores_of_a_model_beside_guessing_and_shared_neighbours(model, data):
    found = links.measure(model, data, "test", limit=3)
    names = ("mrr", *(f"hits_{k}" for k in links.HITS))
    assert set(found) == {f"link.{group}{name}" for group in ("", "chance.", "common_neighbours.") for name in names}
    assert all(len(scores.values) == 3 for scores in found.values())
    assert float(found["link.chance.hits_10"].values[0]) == 1.0
    assert float(found["link.chance.hits_1"].values[0]) == pytest.approx(1 / 5)


def test_the_score_is_the_difference_of_what_the_answers_cost(model, data):
    samples = data.evaluation("test", "link", 3)
    scores = links.score(model, samples)
    alone = torch.cat([links.score(model, [sample]) for sample in samples])
    assert torch.allclose(scores, alone, atol=1e-4)
    assert scores.std() > 0


def test_texts_of_nodes(model, data):
    found = node_texts.measure(model, data, "test", limit=4)
    scores = ("exact", "word_f1")
    wanted = {*scores, "bits", *(f"dropped.{n}" for n in (*scores, "bits")), *(f"majority.{n}" for n in scores)}
    assert set(found) == {f"{task}.{name}" for task in node_texts.TASKS for name in wanted}
    assert float(found["describe.majority.word_f1"].values.mean()) > 0
    assert not torch.equal(found["describe.bits"].values, found["describe.dropped.bits"].values)


def test_word_f1():
    assert node_texts.word_f1("a red moon", "A red  moon") == 1
    assert node_texts.word_f1("a moon", "a red moon") == pytest.approx(0.8)
    assert node_texts.word_f1("", "a red moon") == 0
    assert node_texts.word_f1("a a a", "a moon") == pytest.approx(0.4)


def test_each_kind_of_question_has_its_accuracy(model, data):
    found = nodes.measure(model, data, "test", limit=8)
    parts = [found[f"kinds.{kind}.accuracy"] for kind in ("colour", "neighbours")]
    assert sum(len(part.values) for part in parts) == len(found["accuracy"].values)
    told = nodes.section({**found, **links.measure(model, data, "test", limit=2)}, 0)
    assert math.isfinite(told["kinds"]["neighbours"]["accuracy"]["value"])
    assert math.isfinite(told["link"]["common_neighbours"]["mrr"]["value"])
    assert "graph.link.mrr" in items.collect({}, {}, {}, links.measure(model, data, "test", limit=2))
