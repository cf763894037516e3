"""Who is chosen by contents: alike neighbours, and never by what is asked for, held out or dropped."""

from __future__ import annotations

import pytest
import torch

from mmgraph.graph_samplers import ppr, semantic_ppr
from mmgraph.models import graph_attributes, graph_input
from mmgraph.models.graph_attributes import features
from mmgraph.sequence import Sample, Segment
from tests import graphs, tiny

GRAPH = graphs.graph()
BLACK = torch.zeros(3, tiny.SIZE, tiny.SIZE, dtype=torch.uint8)
LIKE_NOBODY = "what is it ?"


def chosen(samples, *, training=False, **options):
    """Return the neighbours of each sample's node; node 0 has four candidates, two of which are taken."""
    model = graphs.model("graph_q_former", sampler=semantic_ppr(2, 6, cache_nodes=0), **options)
    found = model.assemble(samples, training=training).graph.batch.neighbourhood
    return found.nodes.tolist()


def asked(of, *nodes, hidden=("image",)):
    return [graphs.ask(of, node, key, hidden) for key, node in enumerate(nodes)]


def test_the_most_alike_of_the_near_are_chosen():
    of = graphs.graph(texts={0: "fox"})  # as 1 and 5 say
    near = ppr(6, cache_nodes=0).sample(of.adjacency, torch.tensor([0])).nodes[0].tolist()
    assert chosen(asked(of, 0)) == [[1, 5]]
    assert set(near[:2]) == {1, 3}


def test_equal_contents_have_equal_features_and_what_is_lacking_has_none():
    words = features(GRAPH, "text")
    assert torch.equal(words[0], words[4])
    assert not torch.equal(words[0], words[1])
    assert features(graphs.graph(texts={2: ""}), "text")[2].abs().sum() == 0
    pictures = features(GRAPH, "image")
    assert not (pictures * words).any()  # a text and a picture are strangers


class TestTargets:
    def test_a_target_changes_nobodys_neighbours(self):
        changed = graphs.graph(images=dict.fromkeys(range(10), BLACK))
        assert chosen(asked(GRAPH, 0, 1, 3)) == chosen(asked(changed, 0, 1, 3))

    def test_nor_another_samples_target(self):
        """Node 0 chooses by texts, and the text of its neighbour 3 is asked for in the same batch."""
        changed = graphs.graph(texts={3: "a red fox"})
        both = [[graphs.ask(of, 0, 0, ("image",)), graphs.ask(of, 3, 1, ("text",))] for of in (GRAPH, changed)]
        assert chosen(both[0]) == chosen(both[1])
        assert chosen(both[0][:1]) != chosen(both[1][:1])  # asked for by nobody, it is read

    def test_the_leak(self, monkeypatch):
        usual = graph_attributes.neighbours

        def leaking(sampler, adjacency, nodes, seeds, graph, left_out, readable, **rest):
            nothing = [frozenset()] * len(left_out)
            return usual(sampler, adjacency, nodes, seeds, graph, nothing, lambda m, n: graph.present[m][n], **rest)

        monkeypatch.setattr(graph_input, "neighbours", leaking)
        changed = graphs.graph(images={0: BLACK, 3: BLACK}, texts={0: LIKE_NOBODY})
        same = graphs.graph(texts={0: LIKE_NOBODY})
        assert chosen(asked(same, 0)) != chosen(asked(changed, 0))

    def test_where_nothing_may_be_compared_pagerank_decides(self):
        found = chosen(asked(GRAPH, 0, hidden=("text", "image")))
        assert found[0] == ppr(6, cache_nodes=0).sample(GRAPH.adjacency, torch.tensor([0])).nodes[0][:2].tolist()


class TestHeldOut:
    def test_training_chooses_by_nothing_of_held_out_nodes(self):
        changed = graphs.graph(texts={4: LIKE_NOBODY, 5: LIKE_NOBODY})
        assert chosen(asked(GRAPH, 0, 3), training=True) == chosen(asked(changed, 0, 3), training=True)

    def test_the_leak(self):
        changed = graphs.graph(texts={4: LIKE_NOBODY, 5: LIKE_NOBODY})
        assert chosen(asked(GRAPH, 0, 3)) != chosen(asked(changed, 0, 3))


class TestDropping:
    def draw(self, of):
        return [graphs.draw(of, 0)]

    def test_a_dropped_text_is_not_told_by_who_is_there(self):
        options = {"condition_dropout": {"text": 1.0}, "training": True}
        changed = graphs.graph(texts={0: "two small ears"})
        assert chosen(self.draw(GRAPH), **options) == chosen(self.draw(changed), **options)

    def test_the_leak(self):
        changed = graphs.graph(texts={0: "two small ears"})
        assert chosen(self.draw(GRAPH), training=True) != chosen(self.draw(changed), training=True)


def test_a_node_alone_and_among_others_that_ask_for_nothing_nearby():
    together = [*asked(GRAPH, 0), graphs.ask(GRAPH, 8, 1, ("text",)), graphs.ask(GRAPH, 9, 2, ("text", "image"))]
    assert chosen(together)[0] == chosen(asked(GRAPH, 0))[0]
    assert chosen(together[::-1])[2] == chosen(asked(GRAPH, 0))[0]


@pytest.mark.parametrize("name", ["graph_q_former", "textual_graph"])
def test_what_is_read_may_be_less_than_what_is_chosen_by(name):
    model = graphs.model(name, sampler=semantic_ppr(2, 6, cache_nodes=0), modalities=["image"])
    changed = graphs.graph(texts=dict.fromkeys(range(10), "two small ears"))
    with torch.no_grad():
        assembly, other = (model.assemble(asked(of, 8, 9)) for of in (GRAPH, changed))
        assert not assembly.graph.readable["text"].any()
        assert assembly.graph.readable["image"].any() == other.graph.readable["image"].any()
        tables = [model.graph.encode(each.graph, model._embedder.context) for each in (assembly, other)]
    assert torch.equal(*tables)
    assert chosen(asked(GRAPH, 0)) != chosen(asked(graphs.graph(texts={0: "two small ears"}), 0))


def test_a_soft_prompt_leads_the_neighbours_that_are_written_out():
    model = graphs.model("textual_graph", modalities=["text"])
    assembly = model.assemble([graphs.ask(GRAPH, 7)])
    assert assembly.layout.modality[0, 1:5].tolist() == [2] * 4  # the prompt
    assert assembly.layout.modality[0].tolist().count(2) == 4 + 2  # and a marker for 6 and for 5
    assert not (assembly.layout.modality[0] == 1).any()
    alone = Sample((graphs.ask(GRAPH, 9).segments[0], Segment("text", "yes", True)), "ask", 9)
    assert model.assemble([alone]).layout.modality[0].tolist().count(2) == 4
