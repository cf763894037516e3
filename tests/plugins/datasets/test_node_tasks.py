from __future__ import annotations

import itertools
import random

import pytest
import torch
from mmgraph_datasets.neighbour_questions import COUNTS
from mmgraph_datasets.node_links import Links

from mmgraph.datasets import emoji_graph, synthetic_graph
from mmgraph.errors import UsageError
from mmgraph.evaluation import links as ranking
from mmgraph.graphs import GraphNode
from mmgraph.testing import assert_conforms

TASKS = {"ask": 1, "describe": 1, "link": 1}
DATA = {
    "synthetic_graph": lambda **more: synthetic_graph(8, **{"num_nodes": 300, "tasks": TASKS, "graph": True, **more}),
    "emoji_graph": lambda **more: emoji_graph(
        8,
        **{"subgroups": ["person-role"], "image_size": 16, "tasks": TASKS, "graph": True, "num_negatives": 5, **more},
    ),
}


@pytest.fixture(scope="module", params=DATA)
def data(request):
    return DATA[request.param]()


def node(sample, place=0):
    return sample.segments[place].content


@pytest.mark.parametrize("graph", [True, False])
def test_the_contract_holds_with_every_task(graph):
    every = dict.fromkeys(("draw", "name", "ask", "describe", "link"), 1.0)
    options = {"num_nodes": 120, "tasks": every, "graph": graph, "questions": ["colour", "neighbour_colour"]}
    assert_conforms("datasets", synthetic_graph, lambda: synthetic_graph(4, num_negatives=3, **options))


class TestLinks:
    def test_a_scored_pair_is_in_no_message(self, data):
        samples = data.evaluation("test", "link") + [data.training_sample(n) for n in range(100)]
        for sample in [sample for sample in samples if sample.task == "link"]:
            assert not seen(sample), sample.meta

    def test_the_leak_of_the_held_out_edges(self, data):
        """A reader of edges alone ranks every joined pair first where held-out edges stay, and guesses where not."""
        asked = ranking.queries(data.evaluation("test", "link"))
        fair, leaky = ([reads(query, graph, False) for query in asked] for graph in (data.graph, data.whole_graph))
        assert ranking.ranked(asked, leaky)["mrr"].values.min() == 1.0
        chance = sum(1 / rank for rank in range(1, len(asked[0]) + 1)) / len(asked[0])
        assert float(ranking.ranked(asked, fair)["mrr"].values.mean()) == pytest.approx(chance, abs=0.15)

    def test_the_leak_of_the_training_edge(self, data):
        """Where a training sample does not take out its own edge, the edge is the answer."""
        samples = (data.training_sample(number) for number in range(400))
        asked = [sample for sample in samples if sample.task == "link"]
        joined = [sample.meta["joined"] for sample in asked]
        assert 0.3 < sum(joined) / len(joined) < 0.7
        assert [seen(sample, without=False) for sample in asked] == joined
        assert not any(map(seen, asked))

    def test_splits_share_no_pair_and_training_asks_for_training_nodes(self, data):
        pairs = {split: {frozenset(p) for p in data.links.pairs(split)} for split in ("train", "val", "test")}
        assert all(pairs[split] for split in ("train", "test"))
        assert not any(a & b for a, b in itertools.combinations(pairs.values(), 2))
        train = set(data.items("train"))
        for sample in (data.training_sample(number) for number in range(200)):
            if sample.task == "link":
                assert {sample.meta["item"], sample.meta["other"]} <= train
                assert frozenset((sample.meta["item"], sample.meta["other"])) not in pairs["test"]

    def test_only_the_asked_relation_loses_edges(self, data):
        graph, whole = data.graph, data.whole_graph
        lost = {name: whole.edges(name).shape[1] - graph.edges(name).shape[1] for name in graph.relations}
        assert lost.pop(data.links.relation) == 2 * data.links.held_out.shape[1]
        assert not any(lost.values())
        assert graph.text(3) == whole.text(3)

    def test_negatives_are_not_joined_and_the_first_share_neighbours(self, data):
        known = {frozenset(pair) for pair in data.whole_graph.edges(data.links.relation).t().tolist()}
        hard = easy = 0.0
        for item, partner in data.links.pairs("test"):
            found = data.links.negatives((item, partner), "test")
            assert len(found) == len(set(found)) == data.links.num_negatives
            assert not any(frozenset((item, other)) in known for other in found)
            shared = data.links.common_neighbours(item, found)
            hard, easy = hard + float(shared[0]), easy + float(shared[-1])
        assert hard > easy

    def test_usage(self):
        with pytest.raises(UsageError, match="link_relation is 'knows'"):
            _ = DATA["synthetic_graph"](link_relation="knows").graph
        graph = DATA["synthetic_graph"]().whole_graph
        with pytest.raises(UsageError, match="num_negatives"):
            Links(graph, "noise", world="w", num_negatives=0)
        few = synthetic_graph(num_nodes=20, tree_size=2, distractors=0)
        with pytest.raises(UsageError, match="none of them for the split"):
            Links(few.whole_graph, "noise", world="w")


def seen(sample, without=True):
    """Whether a sample's neighbourhood holds the edge that it asks for."""
    held: GraphNode = node(sample)
    adjacency = held.graph.adjacency
    if without:
        assert node(sample, 1).without == held.without
        adjacency = adjacency.without(torch.tensor(held.without).t())
    pair = (sample.meta["item"], sample.meta["other"])
    relation = held.graph.relations.index(sample_relation(sample))
    for own, other in (pair, pair[::-1]):
        _, senders, types = adjacency.gather(torch.tensor([own]).numpy())
        if other in senders[types == relation]:
            return True
    return False


def sample_relation(sample):
    words = sample.meta["question"].split(" joined by ")[1].removesuffix(" ?")
    return words.replace(" ", "_")


def reads(query, graph, without):
    found = []
    for sample in query:
        relation = graph.relations.index(sample_relation(sample))
        _, senders, types = graph.adjacency.gather(torch.tensor([sample.meta["item"]]).numpy())
        found.append(float(sample.meta["other"] in senders[types == relation]))
    return torch.tensor(found)


class TestDescribe:
    def test_nothing_of_the_node_itself_is_shown(self, data):
        for sample in data.evaluation("test", "describe"):
            assert node(sample).hidden == ("text", "image")
            assert [segment.modality for segment in sample.segments] == ["graph", "text", "text"]
            assert sample.segments[1].content == "describe it ."
            assert sample.segments[2].content == data.graph.text(sample.meta["item"])

    def test_tokenizers_hear_of_its_words(self, data):
        words = {word for text in data.contents("text") for word in text.split()}
        assert {"describe", "it", "joined", "by", "yes", "no"} <= words


def test_usual_tasks_stay_the_default():
    for make in DATA.values():
        data = make(tasks=None)
        assert set(data.tasks) == {"draw", "name", "ask"}
        assert data.node_tasks is None
        assert data.links is None
        assert data.graph is data.whole_graph


class TestNeighbourQuestions:
    @pytest.fixture(scope="class")
    def counted(self):
        kinds = ["neighbours", "neighbour_colour"]
        return synthetic_graph(8, num_nodes=300, tasks={"ask": 1}, questions=kinds, graph=True, num_colours=4)

    def test_answers_are_counted_by_hand(self, counted):
        graph = counted.whole_graph
        for sample in counted.evaluation("test", "ask"):
            item = sample.meta["item"]
            near = set(graph.edge_index[0, graph.edge_index[1] == item].tolist())
            if sample.meta["kind"] == "neighbours":
                count = len(near)
            else:
                colour = sample.meta["question"].split()[2]
                count = sum(shows(counted, other) == colour for other in near)
            assert sample.meta["answer"] == COUNTS[min(count, 6)]
            assert node(sample).hidden == ()

    def test_half_of_the_questions_are_of_a_colour_that_is_there(self, counted):
        asked = [s for s in counted.evaluation("train", "ask") if s.meta["kind"] == "neighbour_colour"]
        share = sum(s.meta["answer"] != "0" for s in asked) / len(asked)
        assert 0.5 < share < 0.95

    def test_training_counts_nothing_that_held_out_nodes_show(self, counted):
        train = set(counted.items("train"))
        more = 0
        for item in counted.items("train"):
            for draw in range(4):
                question, answer = counted.neighbour_questions.ask(item, "neighbour_colour", draw, training=True)
                colour = question.split()[2]
                near = counted.neighbour_questions.neighbours(item).tolist()
                here = sum(shows(counted, other) == colour for other in near if other in train)
                assert answer == COUNTS[min(here, 6)]
                more += sum(shows(counted, other) == colour for other in near) > here
        assert more, "no held-out neighbour would have been counted: the test tests nothing"

    def test_the_stream_of_training_questions(self, counted):
        rng = random.Random(0)
        found = {counted.sample("train", counted.items("train")[n], "ask", rng).meta["kind"] for n in range(20)}
        assert found == {"neighbours", "neighbour_colour"}

    def test_an_unknown_kind(self):
        with pytest.raises(UsageError, match="unknown kind of question 'colours'"):
            synthetic_graph(questions=["colours"])


def shows(data, item):
    world = data.world
    for modality in ("image", "text"):
        value = int(world.told[modality, "colour"][item])
        if world.present[modality][item] and value >= 0:
            return data.names["colour"][value]
    return None
