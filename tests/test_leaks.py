"""Each rule beside the leak that it stops: the leak is put in, shown to tell the answer, and taken out."""

from __future__ import annotations

import inspect

import pytest
import torch

from mmgraph.adjacency import Adjacency
from mmgraph.errors import UsageError
from mmgraph.graph_batches import collate
from mmgraph.graph_encoders import rgcn, sage
from mmgraph.graph_fusion import FusedGraphEncoder
from mmgraph.graph_samplers import k_hop, ppr, semantic_ppr
from mmgraph.leaks import (
    VisibleAttributes,
    check_groups,
    check_label_edges,
    hide_held_out,
    hide_targets,
    label_agreement,
    remove_edges,
)

PAIRS = torch.tensor([[0, 1, 2, 3, 4, 0], [1, 2, 3, 4, 5, 3]])
EDGES = torch.cat((PAIRS, PAIRS.flip(0)), 1)
TYPES = torch.tensor([0, 1, 0, 1, 0, 1] * 2)
ADJACENCY = Adjacency.of(EDGES, TYPES, 7, 2)


def tokens(contents, present, targets, encoder=None):
    """Return the tokens of the target nodes as a model would make them from one batch."""
    torch.manual_seed(0)
    batch = collate(ADJACENCY, targets, k_hop(6, 2).sample(ADJACENCY, targets))
    network = FusedGraphEncoder(encoder or rgcn(2))
    network.build({"image": contents.shape[1]}, 8, 2)
    seen = present(batch)
    found = network(
        {"image": contents[batch.nodes][batch.place]},
        {"image": seen[batch.place]},
        batch.edge_index,
        batch.edge_type,
        batch.graph,
    )
    return found[batch.seed]


def leaks(present, targets, changed):
    """Whether changing the contents of `changed` changes the tokens of the targets."""
    contents = torch.randn(7, 3, generator=torch.Generator().manual_seed(1))
    other = contents.clone()
    other[changed] += 1.0
    return not torch.equal(tokens(contents, present, targets), tokens(other, present, targets))


class TestTargets:
    def test_a_target_is_hidden_in_every_neighbourhood_of_the_batch(self):
        targets = torch.tensor([0, 3])  # each is the other's neighbour
        everyone = torch.ones(7, dtype=torch.bool)

        def right(batch):
            return hide_targets(everyone[batch.nodes], batch.nodes, targets)

        assert not leaks(right, targets, [0, 3])
        assert leaks(right, targets, [1])  # neighbours do speak

    def test_without_the_rule_two_hops_bring_the_target_back(self):
        targets = torch.tensor([0])
        assert leaks(lambda batch: torch.ones(len(batch.nodes), dtype=torch.bool), targets, [0])

    def test_hiding_it_in_its_own_neighbourhood_alone_is_not_enough(self):
        # the other target of the batch would still see it, and in training answer for it
        targets = torch.tensor([0, 3])
        batch = collate(ADJACENCY, targets, k_hop(6, 2).sample(ADJACENCY, targets))
        shown = hide_targets(torch.ones(len(batch.nodes), dtype=torch.bool), batch.nodes, targets)
        elsewhere = (batch.graph == 1) & (batch.nodes[batch.place] == 0)
        assert elsewhere.any()
        assert not shown[batch.place][elsewhere].any()

    def test_a_hidden_content_may_be_anything(self):
        contents = torch.randn(7, 3)
        contents[0] = float("nan")
        targets = torch.tensor([0])

        def right(batch):
            return hide_targets(torch.ones(len(batch.nodes)) > 0, batch.nodes, targets)

        assert tokens(contents, right, targets, sage()).isfinite().all()


class TestHeldOut:
    SPLITS = {"train": torch.tensor([0, 1, 2]), "test": torch.tensor([3, 4])}

    def test_held_out_neighbours_are_silent_in_training(self):
        targets, everyone = torch.tensor([2]), torch.ones(7, dtype=torch.bool)

        def right(batch):
            return hide_held_out(everyone[batch.nodes], batch.nodes, self.SPLITS, seen=["train"])

        assert not leaks(right, targets, [3, 4])
        assert leaks(right, targets, [1])
        assert leaks(lambda batch: everyone[batch.nodes], targets, [3])

    def test_nodes_of_no_split_may_be_seen(self):
        nodes = torch.arange(7)
        everyone = torch.ones(7, dtype=torch.bool)
        shown = hide_held_out(everyone, nodes, self.SPLITS, seen=["train"])
        assert shown.nonzero().flatten().tolist() == [0, 1, 2, 5, 6]
        assert hide_held_out(everyone, nodes, self.SPLITS, seen=["train", "test"]).all()
        with pytest.raises(UsageError, match="unknown splits val"):
            hide_held_out(everyone, nodes, self.SPLITS, seen=["val"])


class TestScoredEdges:
    PAIR = torch.tensor([[0], [3]])

    def test_both_directions_and_every_relation_are_gone(self):
        edges, types = remove_edges(EDGES, TYPES, self.PAIR, 7)
        left = set(map(tuple, edges.t().tolist()))
        assert {(0, 3), (3, 0)} & left == set()
        assert len(left) == EDGES.shape[1] - 2
        assert types.shape == (EDGES.shape[1] - 2,)

    def test_one_direction_left_in_would_tell(self):
        one_way = EDGES[:, ~((EDGES[0] == 0) & (EDGES[1] == 3))]
        assert ((one_way[0] == 3) & (one_way[1] == 0)).any()
        edges, _ = remove_edges(one_way, TYPES[1:], self.PAIR, 7)
        assert not ((edges[0] == 3) & (edges[1] == 0)).any()

    @pytest.mark.parametrize("make", [lambda: k_hop(6, 1), lambda: ppr(6, cache_nodes=0), lambda: ppr(6)])
    def test_samplers_do_not_walk_along_it(self, make, tmp_path, monkeypatch):
        monkeypatch.setenv("MMGRAPH_CACHE", str(tmp_path))

        def direct(adjacency):
            found = make().sample(adjacency, torch.tensor([0]))
            return found.nodes[found.valid & (found.hop == 1)].tolist()

        assert 3 in direct(ADJACENCY)
        assert 3 not in direct(ADJACENCY.without(self.PAIR))

    def test_a_batch_does_not_hold_it(self):
        view = ADJACENCY.without(self.PAIR)
        nodes = torch.tensor([0, 3])
        found = collate(view, nodes, k_hop(6, 3).sample(view, nodes))
        ends = found.nodes[found.place][found.edge_index]
        assert ends.shape[1] > 4
        assert not ((ends[0] == 0) & (ends[1] == 3)).any()
        assert not ((ends[0] == 3) & (ends[1] == 0)).any()


class TestGroups:
    def test_variants_on_both_sides_are_refused(self):
        splits = {"train": torch.tensor([0, 1]), "test": torch.tensor([2, 3])}
        check_groups(["a", "a", "b", None], splits)
        check_groups([None] * 4, splits)
        with pytest.raises(UsageError, match="variants of 'a' are in the splits 'train' and 'test'"):
            check_groups(["a", "b", "a", "c"], splits)


class TestLabels:
    def test_relations_made_from_what_is_asked_are_refused(self):
        sources = {"same_subgroup": ("subgroup", "group"), "made_of": ("sequence",)}
        check_label_edges(["made_of"], sources, "group")
        check_label_edges(["same_subgroup"], sources, "tone")
        with pytest.raises(UsageError, match="the relation 'same_subgroup' is made from 'group'"):
            check_label_edges(["made_of", "same_subgroup"], sources, "group")

    def test_agreement_shows_edges_that_nobody_declared(self):
        labels = torch.tensor([0, 0, 1, 1, -1])
        edges, types = torch.tensor([[0, 2, 0, 0], [1, 3, 2, 4]]), torch.tensor([0, 0, 1, 1])
        found = label_agreement(edges, types, labels, 3)
        assert found[:2].tolist() == [1, 0]
        assert found[2].isnan()


class TestSemanticSampling:
    def test_what_is_to_be_produced_cannot_be_handed_in(self):
        features = {"text": torch.randn(7, 4), "image": torch.randn(7, 4)}
        present = {name: torch.ones(7, dtype=torch.bool) for name in features}
        one = VisibleAttributes.of(features, present, target="image")
        two = VisibleAttributes.of({**features, "image": torch.randn(7, 4)}, present, target="image")
        leaking = VisibleAttributes.of({**features, "image": torch.randn(7, 4)}, present, target=None)
        assert torch.equal(one.features, two.features)
        assert not torch.equal(one.features, leaking.features)
        with pytest.raises(UsageError, match="without 'image', which is to be produced"):
            VisibleAttributes.of({"image": features["image"]}, present, target="image")

    def test_the_sampler_is_given_nothing_else(self):
        taken = set(inspect.signature(semantic_ppr.sample).parameters)
        assert taken == {"self", "adjacency", "nodes", "seed", "attributes", "classes"}
        held = set(vars(semantic_ppr()))
        assert not {name for name in held if "image" in name or "target" in name}
        assert set(VisibleAttributes.__dataclass_fields__) == {"features", "visible"}

    def test_the_target_is_asked_for_by_name(self):
        with pytest.raises(TypeError, match="target"):
            VisibleAttributes.of({"text": torch.randn(7, 4)}, {"text": torch.ones(7) > 0})
