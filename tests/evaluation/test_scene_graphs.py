from __future__ import annotations

import pytest

from mmgraph.datasets import scene_graph, shapes
from mmgraph.evaluation import scene_graphs
from mmgraph.evaluation.scene_graphs import circle_free, f1, read_edges, read_pair

NODES = ("red ring", "blue bar", "green moon")
LEFT = ("red ring", "left of", "blue bar")
ABOVE = ("green moon", "above", "red ring")


@pytest.mark.parametrize(
    ("text", "edges", "good"),
    [
        ("red ring left of blue bar ; green moon above red ring", {LEFT, ABOVE}, True),
        ("Red  ring left of blue bar", {LEFT}, True),
        ("nothing", set(), True),
        ("", set(), False),
        ("red ring left of red ring", set(), False),
        ("red ring left of pink bar", set(), False),
        ("red ring left of blue bar ; red ring left of blue bar", {LEFT}, False),
        ("red ring left of blue bar ; blue bar left of red ring", {LEFT, LEFT[::-1]}, False),
    ],
)
def test_reading_a_sequence(text, edges, good):
    assert read_edges(text, NODES) == (edges, good)


@pytest.mark.parametrize(
    ("text", "edges", "good"),
    [
        ("left of", {LEFT}, True),
        ("right of and below", {LEFT[::-1], ("blue bar", "above", "red ring")}, True),
        ("nothing", set(), True),
        ("left of and right of", {LEFT, LEFT[::-1]}, False),
        ("beside", set(), False),
    ],
)
def test_reading_a_pair(text, edges, good):
    assert read_pair(text, NODES[:2]) == (edges, good)


def test_a_circle_of_three():
    ring = [("a", "above", "b"), ("b", "above", "c"), ("c", "above", "a")]
    assert not circle_free(ring)
    assert circle_free(ring[:2])
    assert circle_free([*ring[:2], ("c", "left of", "a")])
    assert not circle_free([*ring, ("a", "above", "d")])


def test_f1():
    assert f1([LEFT], [LEFT, ABOVE]) == pytest.approx(2 / 3)
    assert f1([], []) == 1
    assert f1([LEFT], []) == 0


class Scribe:
    """Writes what it is told to, by the question."""

    def __init__(self, says):
        self.says = says


@pytest.fixture
def written(monkeypatch):
    monkeypatch.setattr("mmgraph.generation.complete", lambda model, samples, seed=0: [model.says(s) for s in samples])


def measured(says):
    data = scene_graph(4, num_scenes=120, image_size=16)
    return scene_graphs.measure(Scribe(says), data, "test", limit=5)


def test_who_writes_the_truth_is_right_in_every_form(written):
    found = measured(lambda sample: sample.meta["answer"])
    assert set(found) == {
        f"{task}.{name}"
        for task in ("parse", "parse_pair", "plan", "plan_pair")
        for name in ("edge_f1", "valid", "order_changes")
    }
    for path, scores in found.items():
        assert scores.values.tolist() == [0.0 if path.endswith("order_changes") else 1.0] * 5


def test_who_goes_by_the_order_of_the_nodes_is_found_out(written):
    found = measured(
        lambda s: "left of" if "pair" in s.meta else f"{s.meta['nodes'][0]} left of {s.meta['nodes'][1]}"
    )
    assert found["parse.order_changes"].values.mean() == 1
    assert found["plan_pair.order_changes"].values.mean() == 1
    assert found["parse.valid"].values.mean() == 1
    assert found["parse_pair.edge_f1"].values.mean() < 1


def test_other_data_sets_have_none():
    assert scene_graphs.measure(None, shapes(num_scenes=50), "test") == {}
