from __future__ import annotations

from dataclasses import replace

import matplotlib.pyplot as plt
import pytest
import torch
from torch.nn import functional as F

from mmgraph.errors import UsageError
from mmgraph.evaluation import losses, neighbourhood_picture, neighbourhoods
from mmgraph.evaluation.neighbourhoods import NeighbourhoodView, NodeView, look
from tests import graphs, stars, tiny

GRAPH = graphs.graph()
ASKED = stars.asked()


class TestLook:
    def test_the_neighbour_that_tells_matters_and_the_others_do_not(self):
        model = stars.taught()
        for sample in ASKED[stars.TAUGHT : stars.TAUGHT + 6]:
            view = look(model, sample)
            assert {each.relation: each.matters for each in view.neighbours}["tells"] > 1
            assert all(abs(each.matters) < 0.3 for each in view.neighbours if each.relation == "noise")
            assert view.unit == "bits"
            assert view.cost < 1

    def test_attention_is_that_of_the_injector(self):
        model = stars.taught("mlp", "graph_q_former", 60)
        view = look(model, ASKED[stars.TAUGHT])
        shares = {each.relation: each.attention for each in view.neighbours}
        assert shares["tells"] > 0.5
        assert 0 < sum(each.attention for each in view.neighbours) < 1  # the node itself has the rest
        assert look(stars.model(), ASKED[0]).neighbours[0].attention is None  # a soft prompt attends to nothing

    @pytest.mark.parametrize("name", graphs.INJECTORS)
    def test_every_injector_and_pictures_too(self, name):
        model = graphs.model(name)
        sampler = model.graph.sampler
        view = look(model, graphs.draw(GRAPH, 3), seed=2)
        assert model.graph.sampler is sampler
        assert view.unit == "denoising loss"
        assert view.node.picture is None  # which is asked for
        assert view.node.text == GRAPH.text(3)
        assert [each.node for each in view.neighbours] == [0, 2, 4, 5]
        assert any(each.matters for each in view.neighbours)
        again = losses.sums(model, [graphs.draw(GRAPH, 3)], 2)["image"][:, 0]
        assert view.cost == pytest.approx(float((again[:, 0] / again[:, 1]).mean()))

    def test_a_neighbour_left_out_is_one_that_is_not_there(self):
        model = graphs.model("graph_positions")
        view = look(model, graphs.draw(GRAPH, 7))
        assert [each.node for each in view.neighbours] == [6, 5]
        model.graph.sampler.size = 1  # the nearest alone
        without = view.cost + view.neighbours[1].matters
        assert look(model, graphs.draw(GRAPH, 7)).cost == pytest.approx(without, rel=1e-5)

    def test_a_node_without_edges(self):
        view = look(graphs.model(), graphs.ask(GRAPH, 9))
        assert view.neighbours == view.edges == ()
        assert "no neighbours" in view.words

    def test_a_model_or_a_sample_without_a_graph(self):
        with pytest.raises(UsageError, match="with a graph part only"):
            look(tiny.model(), graphs.draw(GRAPH, 0))
        bare = graphs.draw(GRAPH, 0)
        with pytest.raises(UsageError, match="no node of a graph"):
            look(graphs.model(), replace(bare, segments=bare.segments[1:]))

    def test_weights_are_those_of_the_kernel(self):
        query, key = torch.randn(2, 2, 3, 4), torch.randn(2, 2, 5, 4)
        values = torch.eye(5).expand(2, 2, 5, 5)
        shown = torch.rand(2, 1, 3, 5) > 0.3
        shown[..., 0] = True
        for mask in (None, shown, torch.randn(2, 1, 3, 5)):
            expected = F.scaled_dot_product_attention(query, key, values, attn_mask=mask)
            assert torch.allclose(neighbourhoods._weights(query, key, values, mask), expected, atol=1e-6)


class TestPicture:
    def view(self) -> NeighbourhoodView:
        near = NodeView(5, "a <red> fox", None, 1, "like", 0.5, 0.2)
        shown = NodeView(6, None, torch.zeros(3, 8, 8).byte(), 1, "unlike", -0.25, 0.7)
        far = NodeView(7, None, None, 2, "like", 0.0, 0.1)
        edges = ((5, 1, "like"), (1, 5, "like"), (6, 1, "unlike"), (7, 5, "like"))
        known = ("like", "unlike", "never")
        own = NodeView(1, None, None)
        return NeighbourhoodView(own, (near, shown, far), edges, known, "given & wanted", 2.0, "bits")

    def test_edges_once_discs_by_weight_and_a_legend_of_what_is_there(self):
        axes = neighbourhood_picture.draw(self.view())
        assert len(axes.lines) == 3  # one of both directions
        sizes = [float(disc.get_sizes()[0]) for disc in axes.collections]
        assert sizes == pytest.approx([neighbourhood_picture.LARGEST, neighbourhood_picture.LARGEST / 2, 0])
        green, orange = (tuple(disc.get_facecolor()[0][:3]) for disc in axes.collections[:2])
        assert green != orange
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["like", "unlike"]
        assert {"+0.50", "-0.25", "0", "a <red> fox", "?"} <= {text.get_text() for text in axes.texts}
        shares = neighbourhood_picture.draw(self.view(), show="attention")
        assert {"0.20", "0.70", "0.10"} <= {text.get_text() for text in shares.texts}
        plt.close("all")

    def test_the_svg_says_what_it_shows_and_is_the_same_again(self):
        svg = neighbourhood_picture.as_svg(self.view())
        assert svg == neighbourhood_picture.as_svg(self.view())
        assert 'aria-label="Node 1, given &amp; wanted, neighbours 5 (like, +0.5)' in svg
        assert "<red>" not in svg
        assert "data:image/png;base64" in svg

    def test_farther_nodes_stand_farther_out(self):
        places = neighbourhood_picture._places(self.view())
        reach = {node: sum(x * x for x in place) for node, place in places.items()}
        assert reach[1] == 0
        assert reach[5] == pytest.approx(reach[6])
        assert reach[7] > reach[5]
