from __future__ import annotations

import pytest
import torch

from mmgraph.errors import UsageError
from mmgraph.inspection import edge_masks
from mmgraph.inspection.edge_masks import explain_answer
from tests import graphs, stars

ASKED = stars.asked()


def test_the_edge_that_tells_the_answer_gets_the_largest_mask():
    model = stars.taught()
    before = [parameter.clone() for parameter in model.parameters()]
    for number, sample in enumerate(ASKED[stars.TAUGHT : stars.TAUGHT + 2]):
        edges = explain_answer(model, sample, seed=number)
        assert len(edges) == stars.ARMS
        assert edges[0].relation == "tells"
        assert edges[0].sender == edges[0].receiver + 1
        assert edges[0].mask > 2 * edges[1].mask
    assert all(torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True))


def test_the_convolution_that_is_explained_is_the_models():
    model = graphs.model()
    sample = graphs.ask(graphs.graph(), 3)
    with torch.no_grad():
        assembly = model.assemble([sample])
        answer = edge_masks._Answer(model, assembly, "text")
        edges = assembly.graph.batch.edge_index
        whole = answer(torch.zeros(1), edges)
        edge_masks._one_propagation(model)
        assert any(type(part).__name__ == "OnePass" for part in model.modules())
        assert torch.allclose(answer(torch.zeros(1), edges), whole, atol=1e-5)


def test_a_node_without_edges_has_none_to_explain():
    assert explain_answer(graphs.model(), graphs.ask(graphs.graph(), 9)) == []


def test_what_cannot_be_explained():
    of = graphs.graph()
    with pytest.raises(UsageError, match="passes messages"):
        explain_answer(stars.model("mlp"), ASKED[0])
    with pytest.raises(UsageError, match="passes messages"):
        explain_answer(graphs.model("linearised_neighbours"), graphs.ask(of, 3))
    with pytest.raises(UsageError, match="gives a picture"):
        explain_answer(graphs.model(), graphs.draw(of, 3))
    asked = graphs.ask(of, 3)
    with pytest.raises(UsageError, match="no node of a graph"):
        explain_answer(graphs.model(), type(asked)(asked.segments[1:], "ask", 0))
