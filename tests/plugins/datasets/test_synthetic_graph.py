from __future__ import annotations

import functools
import itertools
import random

import numpy as np
import pytest
import torch
from mmgraph_datasets.synthetic_posterior import entropy, evidence, posterior
from mmgraph_datasets.synthetic_world import Relation, make, matrix

from mmgraph.datasets import synthetic_graph
from mmgraph.errors import UsageError
from mmgraph.graphs import GraphNode
from mmgraph.testing import assert_conforms
from tests.testing.broken import broken

DEFAULTS = {
    "seed": 0,
    "num_nodes": 7,
    "sizes": {"colour": 4, "shape": 3},
    "relations": {
        "alike": Relation("colour", 0.8),
        "opposite": Relation("colour", 0.1, "paired"),
        "same_shape": Relation("shape", 0.7),
    },
    "rewired": 0.1,
    "distractors": 1.0,
    "isolated": 0.0,
    "tree_size": 7,
    "branching": 2,
    "tells": {("text", "colour"): 0.3, ("text", "shape"): 0.7, ("image", "colour"): 0.8, ("image", "shape"): 1.0},
    "noise": {"text": 0.1, "image": 0.2},
    "missing": {"text": 0.1, "image": 0.1},
}


def world(**changes):
    return make(**{**DEFAULTS, **changes})


def enumerated(world, factor, shown_text, shown_image):
    """Return the posterior of every node, its own picture hidden, by adding up all assignments."""
    size, count = world.sizes[factor], world.num_nodes
    found = np.zeros((count, size))
    names = [name for name in world.relations if name in world.matrices]
    values = np.array(list(itertools.product(range(size), repeat=count)))  # (assignments, N)
    joint = np.ones(len(values))
    for (a, b), kind in zip(world.edges.T, world.types, strict=True):
        name = world.relations[kind]
        if name in names and _factor_of(name) == factor:
            joint *= world.matrices[name][values[:, a], values[:, b]]
    for node in range(count):
        joint *= shown_text[node, values[:, node]]
    for node in range(count):
        weight = joint.copy()
        for other in range(count):
            weight *= shown_image[other, values[:, other]] if other != node else 1.0
        found[node] = np.bincount(values[:, node], weights=weight, minlength=size)
    return found / found.sum(1, keepdims=True)


def _factor_of(name):
    return DEFAULTS["relations"][name].factor


class TestPosterior:
    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.parametrize(("factor", "changes"), [
        ("shape", {}),
        ("shape", {"isolated": 0.3, "tree_size": 3}),
        ("shape", {"branching": 1, "tree_size": 5}),
    ])  # fmt: skip
    def test_equals_the_sum_over_all_assignments(self, seed, factor, changes):
        small = world(seed=seed, **changes)
        text, image = (evidence(small, modality, factor) for modality in ("text", "image"))
        np.testing.assert_allclose(posterior(small, factor), enumerated(small, factor, text, image), atol=1e-12)

    def test_two_relations_on_one_factor(self):
        small = world(seed=0, num_nodes=6, tree_size=6)
        assert len(set(small.types[small.types < 2])) == 2
        text, image = (evidence(small, modality, "colour") for modality in ("text", "image"))
        np.testing.assert_allclose(posterior(small, "colour"), enumerated(small, "colour", text, image), atol=1e-12)

    def test_hidden_contents_are_not_used(self):
        small = world(seed=1)
        hidden = np.array([True, False, True, False, False, True, False])
        text, image = (evidence(small, modality, "shape") for modality in ("text", "image"))
        image[hidden] = 1.0
        found = posterior(small, "shape", hidden_images=hidden)
        np.testing.assert_allclose(found, enumerated(small, "shape", text, image), atol=1e-12)
        unread = posterior(small, "shape", readable=np.zeros(7, bool))
        np.testing.assert_allclose(unread, posterior(small, "shape", graph=False), atol=1e-12)

    def test_known_labels_are_evidence_for_all_others(self):
        small = world(seed=2)
        known = np.array([False, True, False, False, True, False, False])
        text, image = (evidence(small, modality, "shape") for modality in ("text", "image"))
        expected = np.zeros((7, 3))
        for node in range(7):  # a node's own label is not used
            shown = text.copy()
            told = known & (np.arange(7) != node)
            shown[told] = np.eye(3)[small.values["shape"][told]]
            seen = image.copy()
            seen[told] = 1.0
            expected[node] = enumerated(small, "shape", shown, seen)[node]
        np.testing.assert_allclose(posterior(small, "shape", labelled=known), expected, atol=1e-12)

    def test_certain_edges_and_certain_pictures_do_not_divide_by_zero(self):
        sure = world(
            num_nodes=200,
            relations={"alike": Relation("colour", 1.0), "opposite": Relation("colour", 0.0, "paired")},
            rewired=0.0,
            noise={"text": 0.0, "image": 0.0},
            tree_size=20,
        )
        found = posterior(sure, "colour")
        assert np.isfinite(found).all()
        known = found.max(1) > 0.999
        assert known.mean() > 0.9
        assert (found.argmax(1) == sure.values["colour"])[known].all()

    def test_says_as_often_as_it_is_right(self):
        large = world(num_nodes=30_000, tree_size=31, branching=3)
        for factor in ("colour", "shape"):
            for graph in (False, True):
                found = posterior(large, factor, graph=graph)
                true = np.eye(large.sizes[factor])[large.values[factor]]
                for low, high in itertools.pairwise((0.0, 0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95, 1.0001)):
                    some = (found >= low) & (found < high)
                    if some.sum() < 400:
                        continue
                    said, is_so = found[some].mean(), true[some].mean()
                    # nodes of one tree are not independent: four standard errors, and some room
                    assert abs(said - is_so) < 4 * np.sqrt(said * (1 - said) / some.sum()) + 0.01, (factor, low)

    def test_the_graph_tells_something_except_to_isolated_nodes(self):
        large = world(num_nodes=5_000, tree_size=31, branching=3, isolated=0.1)
        bits = entropy(posterior(large, "colour", graph=False)) - entropy(posterior(large, "colour"))
        assert np.abs(bits[large.isolated]).max() < 1e-9
        assert bits[~large.isolated].mean() > 0.3


class TestWorld:
    def test_edges_have_the_set_homophily(self):
        large = world(num_nodes=40_000, tree_size=31, branching=3, rewired=0.0)
        for name, relation in DEFAULTS["relations"].items():
            first, second = large.edges[:, large.types == large.relations.index(name)]
            values = large.values[relation.factor]
            assert abs((values[first] == values[second]).mean() - relation.homophily) < 0.015
        first, second = large.edges[:, large.types == 1]
        unlike = large.values["colour"][first] != large.values["colour"][second]
        paired = (large.values["colour"][first] + 2) % 4 == large.values["colour"][second]
        assert paired[unlike].all()
        first, second = large.edges[:, large.types == large.relations.index("noise")]
        assert abs((large.values["colour"][first] == large.values["colour"][second]).mean() - 0.25) < 0.015

    def test_values_are_even_and_contents_wrong_as_often_as_said(self):
        large = world(num_nodes=40_000, tree_size=31, branching=3)
        for factor, size in large.sizes.items():
            assert np.abs(np.bincount(large.values[factor]) / 40_000 - 1 / size).max() < 0.02
        told = large.told["image", "colour"]
        says = told >= 0
        assert abs(says.mean() - 0.9 * 0.8) < 0.01
        assert abs((told != large.values["colour"])[says].mean() - 0.2) < 0.01

    def test_relations_hand_on_by_symmetric_matrices(self):
        for unlike in ("paired", "any"):
            found = matrix(Relation("colour", 0.3, unlike), 6, 0.1)
            np.testing.assert_allclose(found, found.T)
            np.testing.assert_allclose(found.sum(1), 1)
        with pytest.raises(UsageError, match="cannot be paired"):
            matrix(Relation("colour", 0.3, "paired"), 5, 0.1)

    def test_is_the_same_on_every_machine(self):
        some = world(num_nodes=50, seed=3)
        assert some.values["colour"][:6].tolist() == FIRST
        assert not np.array_equal(some.values["colour"], world(num_nodes=50, seed=4).values["colour"])


FIRST = [2, 3, 3, 3, 1, 0]


def small(**changes):
    return synthetic_graph(8, **{"num_nodes": 240, "tree_size": 15, **changes})


class TestDataset:
    @pytest.mark.parametrize("options", [{}, {"graph": True}, {"protocol": "grouped", "questions": ["colour"]}])
    def test_contract(self, options):
        assert_conforms("datasets", synthetic_graph, lambda: small(**options))

    def test_the_contract_finds_a_node_that_shows_its_target(self):
        class Leaky(synthetic_graph):
            """Hides nothing."""

            def _first(self, item, hidden, seed):
                return super()._first(item, "nothing", seed)

        make = functools.partial(Leaky, 8, num_nodes=240, tree_size=15, graph=True)
        broken("datasets", Leaky, "Every task gives samples", "to be drawn is not among what the node hides", make)

    def test_samples_hide_what_they_ask_for(self):
        data = small(graph=True)
        for task, hidden in (("ask", "image"), ("draw", "image"), ("name", "text")):
            sample = data.evaluation("test", task)[0]
            node = sample.segments[0].content
            assert isinstance(node, GraphNode)
            assert node.hidden == (hidden,)
            assert node.graph is data.graph
            assert [segment.modality for segment in sample.segments[1:-1]].count(hidden) == 0
        one, two = (data.sample("train", 3, "ask", random.Random(k)).segments[0].content for k in (0, 1))
        assert one.seed != two.seed

    def test_graph_has_both_directions_and_present_contents(self):
        data = small()
        graph = data.graph
        assert graph.relations == ("same_colour", "opposite_colour", "same_shape", "noise")
        forward = set(zip(*graph.edge_index.tolist(), graph.edge_type.tolist(), strict=True))
        assert {(b, a, kind) for a, b, kind in forward} == forward
        isolated = torch.from_numpy(data.world.isolated)
        assert not torch.isin(graph.edge_index, isolated.nonzero().flatten()).any()
        assert graph.present["text"].tolist() == [bool(data.text(i)) for i in range(240)]
        for node in range(20):
            held = graph.image(node)
            assert (held is not None) == bool(graph.present["image"][node])
            assert held is None or torch.equal(held, data.picture(node))

    def test_grouped_keeps_trees_together(self):
        data = small(protocol="grouped")
        of = {item: split for split in ("train", "val", "test") for item in data.items(split)}
        for relation in ("same_colour", "opposite_colour"):
            edges = data.graph.edges(relation)
            assert edges.shape[1]
            assert all(of[int(a)] == of[int(b)] for a, b in edges.t())

    def test_picture_shows_what_it_tells(self):
        data = small(image_noise=0.0, missing_image=0.0)
        reds = [i for i in range(240) if data.names["colour"][data.world.told["image", "colour"][i]] == "red"
                and data.world.told["image", "colour"][i] >= 0]  # fmt: skip
        greys = [i for i in range(240) if data.world.told["image", "colour"][i] < 0]
        assert reds
        assert greys
        for item in reds:
            r, g, b = data.picture(item).float().flatten(1).mean(1)
            assert r > g + 10
            assert r > b + 10
        for item in greys:
            assert np.ptp(data.picture(item).float().flatten(1).mean(1).numpy()) < 12

    @pytest.mark.parametrize("size", [16, 24, 48])
    def test_the_oracle_reads_what_pictures_tell(self, size):
        data = small(image_noise=0.0, missing_image=0.0, image_size=size)
        right = [data.check(item, data.picture(item)) for item in range(240)]
        tells = [data.world.told["image", "colour"][item] >= 0 for item in range(240)]
        assert all(marks["shape"] for marks in right)
        assert [marks["colour"] for marks in right] == tells
        assert [marks["all"] for marks in right] == tells
        other = next(item for item in range(240) if tells[item] and data.identity(item) != data.identity(0))
        assert not data.check(0, data.picture(other))["all"]
        empty = torch.full_like(data.picture(0), 255)
        assert not any(data.check(0, empty).values())

    def test_a_picture_that_is_wrong_is_not_what_the_node_is(self):
        data = small(image_noise=1.0, missing_image=0.0, image_colour=1.0)
        assert not any(data.check(item, data.picture(item))["colour"] for item in range(40))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"num_nodes": 10}, "num_nodes must be from 20"),
            ({"text_noise": 1.5}, "text_noise must be from 0 to 1"),
            ({"relations": {"r": Relation("colour", 2.0)}}, "homophily of 'r' must be"),
            ({"relations": {"noise": Relation("colour")}}, "is the name of the edges at random"),
            ({"relations": {"r": Relation("shape", 0.5, "paired")}, "num_shapes": 3}, "cannot be paired"),
            ({"questions": ["size"]}, "unknown kind of question 'size'"),
            ({"protocol": "compositional"}, "no compositional protocol"),
            ({"num_nodes": 24, "tree_size": 24, "protocol": "grouped", "isolated": 0.0}, "leave a split empty"),
        ],
    )
    def test_wrong_options(self, options, message):
        with pytest.raises(UsageError, match=message):
            synthetic_graph(**options)

    def test_posterior_beats_own_text_and_is_wrong_as_often_as_it_says(self):
        data = small(num_nodes=6_000, tree_size=31)
        true = data.truth("colour")
        for graph in (False, True):
            found = data.posterior("colour", graph=graph)
            right = (found.argmax(1) == true).double().mean()
            assert abs(right - found.max(1).values.mean()) < 0.02
        bits = data.attainable_bits("colour")
        assert bits.shape == (6_000,)
        assert bits.mean() > 0.2
