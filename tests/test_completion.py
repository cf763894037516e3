from __future__ import annotations

import pytest
import torch

from mmgraph.completion import complete_graph
from mmgraph.graphs import MultimodalGraph
from tests import graphs, tiny


@pytest.fixture(scope="module")
def lacking():
    """The graph of ten nodes, 1 and 8 without a text, 8 and 9 without a picture."""
    whole = graphs.graph()
    texts = [None if node in (1, 8) else whole.text(node) for node in range(10)]
    images = [None if node in (8, 9) else whole.image(node) for node in range(10)]
    return MultimodalGraph(whole.data, whole.relations, texts=texts, images=images, splits=graphs.SPLITS)


@pytest.fixture(scope="module")
def model():
    return graphs.model("soft_prompt").eval()


def test_texts_are_filled_in_and_no_other(model, lacking):
    found = complete_graph(model, lacking, "text")
    assert lacking.text(1) is None, "the given graph stays as it is"
    assert [found.text(node) for node in range(10) if node not in (1, 8)] == [
        lacking.text(node) for node in range(10) if node not in (1, 8)
    ]
    assert all(isinstance(found.text(node), str | None) for node in (1, 8))
    assert torch.equal(found.present["image"], lacking.present["image"])
    assert torch.equal(found.image(2), lacking.image(2))


def test_pictures_are_filled_in_and_no_other(model, lacking):
    found = complete_graph(model, lacking, "image")
    assert bool(found.present["image"].all())
    assert found.image(9).shape == (3, tiny.SIZE, tiny.SIZE)
    assert torch.equal(found.image(0), lacking.image(0))
    assert found.text(1) is None
    again = complete_graph(model, lacking, "image", nodes=[9])
    assert not bool(again.present["image"][8])
    assert {name: members.tolist() for name, members in again.splits.items()} == graphs.SPLITS


def test_what_is_filled_in_is_made_from_neighbours(model, lacking):
    """Node 9 has no edges: other neighbours of 8 change nothing of it, and node 7's picture hears of node 6."""
    changed = [lacking.image(node) for node in range(10)]
    changed[6] = torch.zeros(3, tiny.SIZE, tiny.SIZE, dtype=torch.uint8)
    texts = [lacking.text(node) for node in range(10)]
    other = MultimodalGraph(lacking.data, lacking.relations, texts=texts, images=changed, splits=graphs.SPLITS)
    before, after = (complete_graph(model, graph, "image", nodes=[7, 9], batch_size=1) for graph in (lacking, other))
    assert torch.equal(before.image(9), after.image(9))
    assert not torch.equal(before.image(7), after.image(7))
