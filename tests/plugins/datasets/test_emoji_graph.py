from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmgraph_datasets.emoji_graph import SOURCES

from mmgraph.datasets import emoji_graph
from mmgraph.errors import UsageError
from mmgraph.graphs import GraphNode
from mmgraph.leaks import label_agreement
from mmgraph.testing import assert_conforms


def small(**options):
    subgroups = ["person-role", "person-sport", "transport-ground"]
    return emoji_graph(8, **{"image_size": 16, "subgroups": subgroups, **options})


@pytest.fixture(scope="module")
def data():
    return small(relations=["skin_tone_of", "gender_sibling", "made_of", "shared_keyword"], graph=True)


@pytest.mark.parametrize("graph", [False, True])
def test_contract(graph):
    options = {"image_size": 16, "groups": ["Food & Drink", "Animals & Nature"], "graph": graph}
    assert_conforms("datasets", emoji_graph, lambda: emoji_graph(8, **options))


def test_relations_join_what_they_say(data):
    graph, catalogue = data.graph, data.emoji.catalogue
    assert graph.relations == ("skin_tone_of", "gender_sibling", "made_of", "shared_keyword")
    counts = torch.bincount(graph.edge_type, minlength=4)
    assert (counts > 20).all()
    for a, b in graph.edges("skin_tone_of").t().tolist():
        assert catalogue[a].concept == catalogue[b].concept
        assert catalogue[a].skin_tone != catalogue[b].skin_tone
        assert "none" in (catalogue[a].skin_tone, catalogue[b].skin_tone)
    for a, b in graph.edges("gender_sibling").t().tolist():
        assert catalogue[a].gender != catalogue[b].gender
        assert catalogue[a].skin_tone == catalogue[b].skin_tone
    names = {frozenset((catalogue[a].name, catalogue[b].name)) for a, b in graph.edges("made_of").t().tolist()}
    assert frozenset(("woman firefighter", "fire engine")) in names
    both = {(int(a), int(b)) for a, b in graph.edge_index.t()}
    assert {(b, a) for a, b in both} == both


def test_the_table_on_the_page_is_right():
    whole = emoji_graph(relations=list(SOURCES), questions=["colour"], image_size=16)
    graph, catalogue, pixels = whole.graph, whole.emoji.catalogue, whole.emoji.pictures.float().div(255).flatten(1)
    agree = []
    for values in ([e.subgroup for e in catalogue], [e.skin_tone for e in catalogue]):
        names = sorted(set(values))
        labels = torch.tensor([names.index(value) if value else -1 for value in values])
        agree.append(label_agreement(graph.edge_index, graph.edge_type, labels, len(graph.relations)))
    page = (Path(__file__).parents[3] / "docs" / "concepts" / "graphs.md").read_text(encoding="utf-8")
    assert f"it has {graph.num_nodes:,} nodes" in page
    for number, name in enumerate(graph.relations):
        first, second = edges = graph.edges(name)
        error = (pixels[first] - pixels[second]).square().mean()
        cells = (f"{edges.shape[1] // 2:,}", f"{len(edges.unique()):,}", *(f"{each[number]:.2f}" for each in agree))
        assert f"| {name} | {' | '.join(cells)} | {error:.3f} |" in page


def test_variants_of_a_concept_are_on_one_side(data):
    of = {item: split for split in ("train", "val", "test") for item in data.items(split)}
    for relation in ("skin_tone_of", "gender_sibling"):
        assert all(of[a] == of[b] for a, b in data.graph.edges(relation).t().tolist())


def test_each_relation_can_be_left_out():
    for name in SOURCES:
        graph = small(relations=[name], questions=["colour"]).graph
        assert graph.relations == (name,)
        assert graph.edge_index.shape[1] > 0
        assert graph.sources == {name: SOURCES[name]}
    assert small(relations=[]).graph.edge_index.shape[1] == 0


@pytest.mark.parametrize(
    ("relation", "question"),
    [
        ("same_subgroup", "group"),
        ("same_subgroup", "subgroup"),
        ("shared_keyword", "shows"),
        ("skin_tone_of", "skin_tone"),
    ],
)
def test_edges_made_from_what_is_asked_are_refused(relation, question):
    with pytest.raises(UsageError, match=f"the relation '{relation}' is made from '{question}'"):
        small(relations=["made_of", relation], questions=["colour", question])
    asked = {sample.meta["kind"] for sample in small(relations=[relation]).evaluation("test", "ask")}
    assert question not in asked
    assert "colour" in asked


def test_samples_carry_their_node_and_hide_what_is_asked(data):
    for task, hidden in (("draw", "image"), ("name", "text"), ("ask", "text")):
        sample = data.evaluation("test", task, 4)[0]
        node = sample.segments[0].content
        assert isinstance(node, GraphNode)
        assert (node.node, node.hidden) == (sample.meta["item"], (hidden,))
        assert torch.equal(node.graph.image(node.node), data.picture(node.node))
        assert node.graph.text(node.node) == data.emoji.catalogue[node.node].name


def test_unknown_relation():
    with pytest.raises(UsageError, match=r"unknown relation of emoji 'made_off'\. Did you mean 'made_of'"):
        small(relations=["made_off"])
