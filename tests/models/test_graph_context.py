from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mmgraph import generation, graph_injectors, graph_samplers
from mmgraph.blocks import dense, experts_by_modality
from mmgraph.errors import UsageError
from mmgraph.graph_encoders import mlp, rgcn
from mmgraph.heads import mar, next_token
from mmgraph.models import GraphContext, GraphControl, load, save
from mmgraph.models.conditions import drop_conditions
from mmgraph.models.graph_control import rewire, view
from mmgraph.sequence import Sample, Segment
from mmgraph.vocabulary import BOS, NULL, SEP
from tests import graphs, tiny

GRAPH = graphs.graph()


def losses(model, samples, **options):
    with torch.no_grad():
        found, _ = model.losses(model.assemble(samples, fixed_time=0.5, **options))
    return {name: total / count for name, (total, count) in found.items()}


class TestEveryInjector:
    @pytest.mark.parametrize("name", graphs.INJECTORS)
    def test_gradients_reach_every_parameter(self, name):
        model = graphs.model(name).train()
        samples = [graphs.draw(GRAPH, node, node) for node in (0, 1, 2)] + [graphs.ask(GRAPH, 3, 3, ("text",))]
        if name == "adaln":
            samples.append(Sample(samples[0].segments[1:], "draw", 4))  # which has no graph: the learned null
        found, _ = model.losses(model.assemble(samples, training=True))
        sum(total for total, _ in found.values()).backward()
        idle = [key for key, p in model.graph.named_parameters() if p.grad is None or not p.grad.any()]
        # `null` of a modality is read only where a node lacks it
        assert not [key for key in idle if not key.startswith("encoder.null")]

    @pytest.mark.parametrize("name", graphs.INJECTORS)
    def test_the_neighbourhood_changes_what_is_predicted(self, name):
        model = graphs.model(name)
        other = graphs.graph(texts={1: "two small ears"}, images={1: torch.zeros(3, tiny.SIZE, tiny.SIZE).byte()})
        for sample in (graphs.draw, graphs.ask):
            head = "image" if sample is graphs.draw else "text"
            same = torch.equal(losses(model, [sample(GRAPH, 0)])[head], losses(model, [sample(other, 0)])[head])
            assert same == (name == "adaln" and head == "text")  # answers know no noise level

    @pytest.mark.parametrize("name", graphs.INJECTORS)
    def test_a_cache_changes_nothing(self, name):
        model = graphs.model(name)
        opened = [tiny.opened(graphs.draw(GRAPH, node, node)) for node in (0, 5, 9)]
        drawn = []
        for use_cache in (True, False):
            *_, tokens = generation.picture_tokens(model, opened, num_steps=3, guidance=2.0, use_cache=use_cache)
            drawn.append(tokens)
        assert torch.allclose(*drawn, atol=1e-4)
        asked = [tiny.opened(graphs.ask(GRAPH, node, node)) for node in (0, 5, 9)]
        written = [generation.write(model, asked, max_tokens=4, use_cache=use_cache) for use_cache in (True, False)]
        assert written[0] == written[1]

    @pytest.mark.parametrize("name", graphs.INJECTORS)
    def test_saving_keeps_the_relations(self, name, tmp_path):
        model = graphs.model(name)
        again = load(save(model, tmp_path / "model"))
        samples = [graphs.draw(GRAPH, 0)]
        assert torch.equal(losses(model, samples)["image"], losses(again, samples)["image"])
        assert again.graph.relations == ["like", "unlike"]

    @pytest.mark.parametrize("name", graphs.INJECTORS)
    def test_a_sample_alone_and_among_others_that_ask_for_nothing_nearby(self, name):
        model = graphs.model(name)
        alone = losses(model, [graphs.draw(GRAPH, 0)])["image"]
        with torch.no_grad():
            both = model.assemble([graphs.draw(GRAPH, 0), graphs.draw(GRAPH, 8, 1)], fixed_time=0.5)
            (scored,) = [found for found in both.scored if found.head == "image"]
            hidden, _ = model.run(model.embed(both))
            first = replace(scored.prepared, **{
                key: value[:1] for key, value in vars(scored.prepared).items() if isinstance(value, torch.Tensor)
            })  # fmt: skip
            condition = model.embed(both).condition[scored.timed[:1]]
            total, count = model.head("image").loss(hidden.flatten(0, 1)[scored.places[:1]], first, condition)
        assert torch.allclose(alone, total / count, atol=1e-5)


def test_hop_and_relation_start_as_small_as_embeddings():
    usual, small = (graphs.model("gated_cross_attention", stirred=False, embedding_std=std) for std in (1.0, 0.1))
    for name, value in usual.graph.injector.named_parameters():
        scale = 0.1 if name.startswith("relative.") else 1.0
        torch.testing.assert_close(small.graph.injector.get_parameter(name), value * scale)


class TestPlaces:
    def test_tokens_stand_where_the_segment_stood(self):
        model = graphs.model("graph_q_former")
        assembly = model.assemble([graphs.ask(GRAPH, 0)])
        assert assembly.ids[0, 0] == BOS
        assert assembly.layout.modality[0, :6].tolist() == [0, 2, 2, 2, 2, 0]
        (_, question, answer) = graphs.ask(GRAPH, 0).segments
        last = Sample((question, graphs.ask(GRAPH, 0).segments[0], answer), "ask", 0)
        assert model.assemble([last]).layout.modality[0].tolist() == [0] * 5 + [2] * 4 + [0] * 2

    def test_memory_holds_the_node_and_its_neighbours_only(self):
        model = graphs.model("gated_cross_attention")
        sequence = model.embed(model.assemble([graphs.ask(GRAPH, 0), graphs.ask(GRAPH, 9, 1)]))
        tokens, visible = sequence.memory["graph"]
        assert tokens.shape[1] == 5
        assert visible[0].sum(1).tolist()[1:] == [5] * (sequence.layout.valid[0].sum() - 1)
        assert int(visible[1].any(0).sum()) == 1  # an isolated node has itself
        assert model.assemble([graphs.ask(GRAPH, 0)]).ids[0, 1] == SEP

    def test_neighbours_are_written_out_behind_markers(self):
        model = graphs.model("linearised_neighbours")
        modality = model.assemble([graphs.ask(GRAPH, 7)]).layout.modality[0].tolist()
        assert modality.count(2) == 2  # 6 and, two hops away, 5
        assert modality.count(1) == 2 * 4
        assert model.assemble([graphs.ask(GRAPH, 9)]).layout.modality[0].tolist().count(2) == 0

    def test_a_graph_in_the_condition_takes_no_position(self):
        model = graphs.model("adaln")
        sample = graphs.draw(GRAPH, 0)
        without = Sample(sample.segments[1:], "draw", 0)
        assert model.assemble([sample]).layout.shape == model.assemble([without]).layout.shape
        assert not torch.equal(losses(model, [sample])["image"], losses(model, [without])["image"])

    def test_several_samples_in_a_row(self):
        samples = [graphs.draw(GRAPH, 0), graphs.draw(GRAPH, 5, 1)]
        for name in graphs.INJECTORS:
            apart, packed = losses(graphs.model(name), samples), losses(graphs.model(name, row_length=256), samples)
            assert torch.allclose(apart["image"], packed["image"], atol=1e-5), name


class TestDropping:
    SPANS = staticmethod(lambda sample: graphs.model().spans(sample, True))

    def test_a_graph_is_dropped_for_answers_too_and_texts_are_not(self):
        answer, drawing = self.SPANS(graphs.ask(GRAPH, 0)), self.SPANS(graphs.draw(GRAPH, 0))
        assert drop_conditions(answer, {"graph": 0.5}, 0.2)[0].source == "null"
        assert drop_conditions(answer, {"text": 0.5}, 0.2) == answer
        both = drop_conditions(drawing, {"text+graph": 0.5}, 0.2)
        assert [span.source for span in both] == ["null", "null", "item"]
        assert [span.source for span in drop_conditions(answer, {"text+graph": 0.5}, 0.2)] == ["null", "item", "item"]

    @pytest.mark.parametrize("name", graphs.INJECTORS)
    def test_nothing_of_a_dropped_graph_is_read(self, name):
        model = graphs.model(name, condition_dropout={"graph": 1.0})
        other = graphs.graph(texts={1: "two small ears"})
        found = [losses(model, [graphs.draw(one, 0)], training=True)["image"] for one in (GRAPH, other)]
        assert torch.equal(*found)
        assembly = model.assemble([graphs.draw(GRAPH, 0)], training=True)
        assert assembly.graph is None
        assert NULL["graph"] in assembly.ids[0].tolist()

    def test_a_dropped_text_is_not_told_by_the_node(self):
        model = graphs.model("graph_q_former", condition_dropout={"text": 1.0})
        changed = graphs.graph(texts={0: "two small ears"})
        one, two = (losses(model, [graphs.draw(of, 0)], training=True)["image"] for of in (GRAPH, changed))
        assert torch.equal(one, two)


class TestControls:
    def test_rewiring_keeps_degrees_by_relation(self):
        generator = torch.Generator().manual_seed(0)
        pairs = torch.randint(0, 60, (2, 300), generator=generator)
        pairs = pairs[:, pairs[0] != pairs[1]]
        types = torch.arange(pairs.shape[1]) % 3
        edges, kinds = torch.cat((pairs, pairs.flip(0)), 1), torch.cat((types, types))
        found, of = rewire(edges, kinds, 0)
        for kind in range(3):
            before, after = edges[:, kinds == kind], found[:, of == kind]
            assert torch.equal(before[1].bincount(minlength=60), after[1].bincount(minlength=60))
            moved = {*map(tuple, after.t().tolist())} - {*map(tuple, before.t().tolist())}
            assert len(moved) > 0.8 * before.shape[1] * 0.9
            assert (after[0] == after[1]).float().mean() < 0.02
            assert {(b, a) for a, b in after.t().tolist()} == {*map(tuple, after.t().tolist())}
        assert torch.equal(rewire(edges, kinds, 0)[0], found)
        assert not torch.equal(rewire(edges, kinds, 1)[0], found)

    def test_directed_relations_keep_both_degrees(self):
        edges = torch.stack((torch.arange(40) % 10, 10 + torch.arange(40) % 9))
        found, _ = rewire(edges, torch.zeros(40, dtype=torch.long), 0)
        for side in (0, 1):
            assert torch.equal(edges[side].bincount(minlength=20), found[side].bincount(minlength=20))

    def test_same_class_gives_senders_of_the_receivers_class(self):
        adjacency = view(GRAPH, GraphControl(edges="same_class")).adjacency
        receivers, senders, _ = adjacency.gather(torch.arange(10).numpy())
        assert len(senders) == 16
        assert (senders % 3 == receivers % 3).all()
        assert (senders != receivers).all()

    def test_one_relation_alone_and_no_edges(self):
        alone = view(GRAPH, GraphControl(relations=["unlike"])).adjacency
        assert set(alone.types.tolist()) == {1}
        assert view(GRAPH, GraphControl(edges="none")).adjacency.num_edges == 0

    def test_permuted_contents_stay_in_their_split(self):
        shows = view(graphs.graph(), GraphControl(contents="permuted", seed=3)).shows
        assert sorted(shows.tolist()) == list(range(10))
        for members in graphs.SPLITS.values():
            assert {int(shows[node]) for node in members} == set(members)

    @pytest.mark.parametrize("name", graphs.INJECTORS)
    def test_hidden_contents_are_as_many_tokens_that_say_nothing(self, name):
        control = GraphControl(contents="hidden")
        model, real = graphs.model(name, control=control), graphs.model(name)
        other = graphs.graph(
            texts=dict.fromkeys(range(1, 10), "two small ears"),
            images=dict.fromkeys(range(1, 10), torch.zeros(3, tiny.SIZE, tiny.SIZE).byte()),
        )
        assert torch.equal(*(losses(model, [graphs.draw(of, 0)])["image"] for of in (GRAPH, other)))
        given, silent = (m.assemble([graphs.draw(GRAPH, 0)]) for m in (real, model))
        if name not in ("linearised_neighbours", "textual_graph"):  # whose contents are the tokens
            assert given.layout.shape == silent.layout.shape
            assert len(given.groups) == len(silent.groups)

    @pytest.mark.parametrize(("modality", "text", "image"), [("text", False, True), ("image", True, False)])
    def test_one_modality_alone(self, modality, text, image):
        model = graphs.model("graph_q_former", control=GraphControl(modalities=[modality]))
        sample = graphs.ask(GRAPH, 0)
        before = losses(model, [sample])["text"]
        others = (
            graphs.graph(texts={1: "two small ears"}),
            graphs.graph(images={1: torch.zeros(3, tiny.SIZE, tiny.SIZE).byte()}),
        )
        same = [torch.equal(before, losses(model, [graphs.ask(other, 0)])["text"]) for other in others]
        assert same == [text, image]

    def test_names_that_are_not_known(self):
        with pytest.raises(UsageError, match="cannot be 'rewire'"):
            GraphControl(edges="rewire")
        with pytest.raises(UsageError, match="no relation 'alike'"):
            view(GRAPH, GraphControl(relations=["alike"]))
        plain = graphs.graph()
        del plain.data.y
        with pytest.raises(UsageError, match="has no `y`"):
            view(plain, GraphControl(edges="same_class"))


class TestRefusals:
    def test_a_graph_segment_without_a_graph_part(self, tiny_model):
        with pytest.raises(UsageError, match="has a graph segment, but the model has no graph part"):
            tiny_model.spans(graphs.ask(GRAPH, 0), True)

    def test_a_graph_part_without_graph_data(self):
        class Plain:
            def contents(self, modality):
                return iter(())

        context = GraphContext(graph_samplers.none(), graph_injectors.adaln(), encoder=rgcn())
        with pytest.raises(UsageError, match="Plain gives no graph segments"):
            context.fit(Plain())
        with pytest.raises(UsageError, match="does not know its relations"):
            tiny.model(graph=context)

    def test_parts_that_do_not_fit(self):
        with pytest.raises(UsageError, match="SoftPromptInjector reads the tokens of a graph encoder"):
            GraphContext(graph_samplers.none(), graph_injectors.soft_prompt())
        with pytest.raises(UsageError, match="a graph part cannot read 'sound' of nodes"):
            GraphContext(graph_samplers.none(), graph_injectors.linearised_neighbours(), modalities=["sound"])
        context = GraphContext(
            graph_samplers.none(), graph_injectors.gated_cross_attention(), encoder=mlp(), relations=["like"]
        )
        with pytest.raises(UsageError, match="places nodes in memory, but the block DenseBlock"):
            tiny.model(graph=context, block=dense(4))
        context = GraphContext(graph_samplers.none(), graph_injectors.adaln(), encoder=mlp(), relations=["like"])
        with pytest.raises(UsageError, match="no head of the model has one"):
            tiny.model(graph=context, heads={"text": next_token()})
        context = GraphContext(graph_samplers.none(), graph_injectors.soft_prompt(), encoder=mlp(), relations=["like"])
        with pytest.raises(UsageError, match="has weights for text, image only; give it graph"):
            tiny.model(graph=context, block=experts_by_modality(num_heads=4))

    def test_nodes_of_two_graphs_in_a_batch(self):
        with pytest.raises(UsageError, match="several graphs"):
            graphs.model().assemble([graphs.ask(GRAPH, 0), graphs.ask(graphs.graph(), 1, 1)])

    def test_a_modality_that_nothing_reads_cannot_be_dropped(self):
        with pytest.raises(UsageError, match="condition_dropout names the modality 'graph'"):
            tiny.model(condition_dropout={"text+graph": 0.1})

    def test_a_segment_of_text_alone_needs_no_graph(self):
        found = graphs.model().spans(Sample((Segment("text", "fox"), Segment("text", None, True)), "ask"), False)
        assert [span.modality for span in found] == ["text", "text"]


class TestGuidance:
    OPENED = staticmethod(lambda: [tiny.opened(graphs.draw(GRAPH, node, node)) for node in (0, 5)])

    def drawn(self, model, **options):
        *_, tokens = generation.picture_tokens(model, self.OPENED(), num_steps=2, **options)
        return tokens

    @pytest.mark.parametrize("name", ["soft_prompt", "adaln"])
    def test_scales_of_text_and_graph(self, name):
        model = graphs.model(name)
        plain = self.drawn(model, guidance=1.0)
        assert torch.equal(plain, self.drawn(model, guidance={"text": 1.0, "graph": 1.0}))
        text, graph = self.drawn(model, guidance={"text": 3.0}), self.drawn(model, guidance={"graph": 3.0})
        both = self.drawn(model, guidance={"text": 3.0, "graph": 3.0})
        found = [plain, text, graph, both]
        assert not any(torch.equal(a, b) for k, a in enumerate(found) for b in found[k + 1 :])
        assert torch.equal(text, self.drawn(model, guidance=3.0)), "a single number is the scale on text"
        assert torch.allclose(both, self.drawn(model, guidance={"text": 3.0, "graph": 3.0}, use_cache=False), atol=1e-4)

    def test_the_formula(self, monkeypatch):
        """e() + s_T (e(T) - e()) + s_G (e(T, G) - e(T)), from the three predictions of one step."""
        model = graphs.model()
        head, seen = model.head("image"), []
        usual = type(head).predict
        monkeypatch.setattr(type(head), "predict", lambda self, *given: seen.append(usual(self, *given)) or seen[-1])
        guided = []
        sample = type(head).sample

        def watching(self, run, *rest, **options):
            return sample(self, lambda *given: guided.append(run(*given)) or guided[-1], *rest, **options)

        monkeypatch.setattr(type(head), "sample", watching)
        self.drawn(model, guidance={"text": 3.0, "graph": 2.0})
        both, text, none = seen[0].chunk(3)
        assert torch.allclose(guided[0], none + 3 * (text - none) + 2 * (both - text), atol=1e-5)

    def test_refusals(self):
        with pytest.raises(UsageError, match="guidance on 'graph' is not known to this model; give a scale for text"):
            *_, _ = generation.picture_tokens(tiny.model(), [tiny.opened(tiny.samples()[0])], guidance={"graph": 2.0})
        model = graphs.model(heads={"text": next_token(), "image": mar(16, 1, denoising_steps=2)})
        with pytest.raises(UsageError, match="guided by one condition at a time, not by 2"):
            self.drawn(model, guidance={"text": 2.0, "graph": 2.0})
        assert self.drawn(model, guidance={"graph": 2.0}).isfinite().all()
