"""The rules against leaks through the model: what is hidden changes no token that it computes, not by one bit.

Each rule has its leak beside it: where the rule is switched off, the same change is seen.
"""

from __future__ import annotations

import pytest
import torch

from mmgraph.graphs import GraphNode
from mmgraph.models import graph_input
from mmgraph.sequence import Sample, Segment
from tests import graphs, tiny

GRAPH = graphs.graph()
BLACK = torch.zeros(3, tiny.SIZE, tiny.SIZE, dtype=torch.uint8)
ENCODED = [name for name in graphs.INJECTORS if name != "linearised_neighbours"]


def tokens(model, samples, *, training=False):
    """Return everything that the model computes of the graph, and what it reads of neighbours written out."""
    with torch.no_grad():
        assembly = model.assemble(samples, training=training)
        table = model.graph.encode(assembly.graph, model._embedder.context)
        read = [group.tokens.double() for group in assembly.groups if group.head is None]
    return [table, assembly.ids, *read]


def same(left, right):
    return len(left) == len(right) and all(a.shape == b.shape and torch.equal(a, b) for a, b in zip(left, right))  # noqa: B905


def asked(of, *nodes, hidden=("image",)):
    """Return samples of nodes that show nothing of them but their graph."""
    return [graphs.ask(of, node, key, hidden) for key, node in enumerate(nodes)]


@pytest.mark.parametrize("name", graphs.INJECTORS)
class TestTargets:
    def test_a_target_changes_no_token_of_the_batch(self, name):
        model = graphs.model(name)
        changed = graphs.graph(images={0: BLACK})
        # node 1 is seen by 0, by 2 and by 3: messages return to it in two hops
        assert same(tokens(model, asked(GRAPH, 0, 1, 3)), tokens(model, asked(changed, 0, 1, 3)))
        assert same(tokens(model, asked(GRAPH, 0)), tokens(model, asked(changed, 0)))

    def test_a_hidden_text_too(self, name):
        model = graphs.model(name)
        changed = graphs.graph(texts={1: "two small ears"})
        found = [tokens(model, asked(of, 0, 1, hidden=("text",))) for of in (GRAPH, changed)]
        assert same(*found)

    def test_the_leak(self, name, monkeypatch):
        monkeypatch.setattr(graph_input, "hide_targets", lambda present, nodes, targets: present)
        model = graphs.model(name)
        changed = graphs.graph(images={0: BLACK})
        assert not same(tokens(model, asked(GRAPH, 0, 1, 3)), tokens(model, asked(changed, 0, 1, 3)))

    def test_hiding_only_at_the_target_itself_would_leak(self, name, monkeypatch):
        """Another sample's neighbourhood shows the target: the rule holds for the batch, not for one small graph."""

        def own_only(present, nodes, targets):
            own = torch.zeros_like(present)
            own[[nodes.tolist().index(target) for target in targets.tolist()[:1]]] = True
            return present & ~own

        monkeypatch.setattr(graph_input, "hide_targets", own_only)
        model = graphs.model(name)
        changed = graphs.graph(images={1: BLACK})
        assert not same(tokens(model, asked(GRAPH, 0, 1)), tokens(model, asked(changed, 0, 1)))


@pytest.mark.parametrize("name", graphs.INJECTORS)
class TestHeldOut:
    def test_training_reads_nothing_of_held_out_nodes(self, name):
        model = graphs.model(name)
        changed = graphs.graph(texts={4: "two small ears"}, images={4: BLACK})  # node 4 is of the test split
        found = [tokens(model, asked(of, 3, 2), training=True) for of in (GRAPH, changed)]
        assert same(*found)

    def test_the_leak(self, name):
        model = graphs.model(name)
        changed = graphs.graph(texts={4: "two small ears"}, images={4: BLACK})
        assert not same(tokens(model, asked(GRAPH, 3, 2)), tokens(model, asked(changed, 3, 2)))


@pytest.mark.parametrize("name", graphs.INJECTORS)
class TestScoredEdges:
    def sample(self, of, *pairs):
        node = GraphNode(of, 7, 0, (), pairs)
        question = Segment("text", "is it red ?"), tiny.aim(Segment("text", "yes"))
        return [Sample((Segment("graph", node), *question), "link", 0)]

    def test_an_edge_that_is_asked_for_is_not_seen(self, name):
        model = graphs.model(name)
        changed = graphs.graph(texts={6: "two small ears"}, images={6: BLACK})
        for pair in ((7, 6), (6, 7)):
            assert same(tokens(model, self.sample(GRAPH, pair)), tokens(model, self.sample(changed, pair)))

    def test_the_leak(self, name):
        model = graphs.model(name)
        changed = graphs.graph(texts={6: "two small ears"}, images={6: BLACK})
        assert not same(tokens(model, self.sample(GRAPH)), tokens(model, self.sample(changed)))
        assert not same(tokens(model, self.sample(GRAPH)), tokens(model, self.sample(GRAPH, (7, 6))))


@pytest.mark.parametrize("name", ENCODED)
def test_not_even_what_is_no_number_passes(name):
    """A hidden content is not multiplied by zero, it is not read."""
    model = graphs.model(name)
    assembly = model.assemble(asked(GRAPH, 0, 1))
    held = assembly.graph.contents["image"]
    assert int((held.at >= 0).sum()) == len(held.tokens) < len(assembly.graph.nodes)
    hidden = [row for row, node in enumerate(assembly.graph.nodes.tolist()) if node in (0, 1)]
    assert hidden
    assert (held.at[hidden] == -1).all()


def test_a_target_is_hidden_where_another_node_shows_its_contents():
    model = graphs.model("graph_q_former", control=graphs.GraphControl(contents="permuted", seed=1))
    changed = graphs.graph(images={0: BLACK})
    assert same(tokens(model, asked(GRAPH, 0, 1, 2, 3)), tokens(model, asked(changed, 0, 1, 2, 3)))
