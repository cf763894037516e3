from __future__ import annotations

import dataclasses

import pytest
import torch

from mmgraph import graph_samplers
from tests.testing.broken import broken

KHop, Semantic = graph_samplers.k_hop, graph_samplers.semantic_ppr


def changed(base, change):
    """Return a sampler that changes what `base` gives."""

    def sample(self, adjacency, nodes, *, seed=0, attributes=None, classes=None):
        found = base.sample(self, adjacency, nodes, seed=seed, attributes=attributes, classes=classes)
        return change(found, nodes)

    return type("Odd", (base,), {"__doc__": "Odd.", "sample": sample})


def replaced(**changes):
    return lambda found, nodes: dataclasses.replace(
        found, **{name: change(getattr(found, name), nodes) for name, change in changes.items()}
    )


class TestGraphSamplers:
    @pytest.mark.parametrize(
        ("change", "promise", "message"),
        [
            (lambda found, nodes: found.rows(slice(1, None)), "padded at the end", "expected (6, 16)"),
            (replaced(nodes=lambda old, nodes: old + 100), "padded at the end", "outside of the graph"),
            (replaced(nodes=lambda old, nodes: old[:, :1].expand_as(old)), "padded at the end", "a neighbour twice"),
            (replaced(valid=lambda old, nodes: old.flip(1)), "padded at the end", "padding must come last"),
            (replaced(weight=lambda old, nodes: old / 0), "padded at the end", "not finite"),
            (replaced(relation=lambda old, nodes: (old + 1) % 3), "the relation that is told", "has no edge from"),
            (
                lambda found, nodes: dataclasses.replace(found, weight=found.weight + torch.rand(())),
                "rest of the batch",
                "torch's global random state",
            ),
            (
                replaced(weight=lambda old, nodes: old + len(nodes)),
                "rest of the batch",
                "alone has other neighbours",
            ),
        ],
    )
    def test_one_thing_wrong(self, change, promise, message):
        broken("graph_samplers", changed(KHop, change), promise, message)

    def test_one_seed_for_all(self):
        class Deaf(KHop):
            """Reads the first seed only."""

            def sample(self, adjacency, nodes, *, seed=0, attributes=None, classes=None):
                return super().sample(adjacency, nodes, seed=int(torch.as_tensor(seed).flatten()[0]))

        make = lambda: Deaf(4, 2, per_relation=1)  # noqa: E731
        broken("graph_samplers", Deaf, "rest of the batch", "among other seeds", make)

    def test_itself_among_its_neighbours(self):
        def own(found, nodes):
            found.nodes[:, 0], found.valid[:, 0] = nodes, True
            return found

        broken("graph_samplers", changed(KHop, own), "padded at the end", "its own neighbour")

    def test_walking_along_hidden_edges(self):
        class Peeking(KHop):
            """Looks at the arrays themselves."""

            def sample(self, adjacency, nodes, *, seed=0, attributes=None, classes=None):
                adjacency._hidden = None
                return super().sample(adjacency, nodes, seed=seed)

        broken("graph_samplers", Peeking, "brings nobody in", "by the edge that is hidden")

    def test_doing_without_what_it_needs(self, tmp_path, monkeypatch):
        monkeypatch.setenv("MMGRAPH_CACHE", str(tmp_path))

        class Lenient(Semantic):
            """Falls back silently."""

            def sample(self, adjacency, nodes, *, seed=0, attributes=None, classes=None):
                if attributes is None:
                    return KHop(8).sample(adjacency, nodes, seed=seed)
                return super().sample(adjacency, nodes, seed=seed, attributes=attributes)

        broken("graph_samplers", Lenient, "says so when they are missing", "raise a UsageError")
