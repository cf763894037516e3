from __future__ import annotations

import random

import pytest
from mmgraph_datasets.scene_graph import TASKS, name, scene_edges

from mmgraph.datasets import scene_graph
from mmgraph.errors import UsageError
from mmgraph.evaluation.scene_graphs import read_edges, read_pair
from mmgraph.testing import assert_conforms


def small(**options):
    return scene_graph(4, **{"num_scenes": 80, "image_size": 16, **options})


@pytest.fixture(scope="module")
def data():
    return small()


@pytest.mark.parametrize("options", [{}, {"order": "random", "protocol": "grouped"}])
def test_the_contract(options):
    assert_conforms("datasets", scene_graph, lambda: small(**options))


def test_every_form_tells_the_true_edges(data):
    for item in data.items("test"):
        true = scene_edges(data.scenes[item])
        for task in ("parse", "plan"):
            (sample,) = [s for s in data.evaluation("test", task) if s.meta["item"] == item]
            assert read_edges(sample.segments[-1].content, sample.meta["nodes"]) == (true, True)
            assert set(sample.meta["edges"]) == true
        for task in ("parse_pair", "plan_pair"):
            pairs = [s for s in data.evaluation("test", task) if s.meta["item"] == item]
            found = [read_pair(s.segments[-1].content, s.meta["pair"]) for s in pairs]
            assert set().union(*(edges for edges, _ in found)) == true
            assert all(good for _, good in found)


def test_a_caption_tells_places_and_a_picture_does_not(data):
    plan, parse = (data.evaluation("test", task, 1)[0] for task in ("plan", "parse"))
    assert " at " in plan.segments[0].content
    assert [segment.modality for segment in parse.segments] == ["image", "text", "text"]
    assert " at " not in parse.segments[1].content


def test_nodes_the_other_way_round_ask_for_the_same(data):
    for task in TASKS:
        for sample in data.evaluation("test", task, 6):
            other = data.reordered(sample)
            assert other.meta["nodes"] == sample.meta["nodes"][::-1]
            assert set(other.meta["edges"]) == set(sample.meta["edges"])
            if task.endswith("_pair"):
                assert other.meta["pair"] == sample.meta["pair"][::-1]
                said = [read_pair(s.segments[-1].content, s.meta["pair"])[0] for s in (sample, other)]
                assert said[0] == said[1]


def test_a_random_order_is_drawn_anew():
    fixed, drawn = small(), small(order="random")
    item = next(i for i in drawn.items("train") if len(drawn.scenes[i].things) == 3)
    orders = {tuple(drawn.sample("train", item, "plan", random.Random(n)).meta["nodes"]) for n in range(30)}
    assert len(orders) > 3
    assert len({tuple(fixed.sample("train", item, "plan", random.Random(n)).meta["nodes"]) for n in range(9)}) == 1


def test_nodes_of_a_scene_have_different_names(data):
    assert all(1 < len(set(map(name, each.things))) == len(each.things) for each in data.scenes)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"protocol": "compositional"}, "random and grouped"),
        ({"image_size": 8}, "image_size from 16 to 64"),
        ({"order": "sorted"}, "fixed or random"),
    ],
)
def test_usage(options, said):
    with pytest.raises(UsageError, match=said):
        small(**options)
