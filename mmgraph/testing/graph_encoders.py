"""The suite of graph encoders: nodes have no order, small graphs do not touch, edges do what is declared."""

from __future__ import annotations

import torch
from torch import Tensor

from mmgraph.graph_encoders import GraphEncoder
from mmgraph.testing.stand_ins import DIM
from mmgraph.testing.suite import Suite, close, expect, stir

WIDTH, RELATIONS = 12, 3


class GraphEncoderSuite(Suite):
    """What `mmgraph.graph_encoders.GraphEncoder` promises."""

    contract = GraphEncoder

    def check_shape(self) -> None:
        """Gives one finite token of the model's width per node, isolated nodes and graphs without edges included."""
        encoder = self._built()
        features, edges, types, graph = _batch()
        for name, some in (("a graph", slice(None)), ("a graph without edges", slice(0, 0))):
            found = encoder(features, edges[:, some], types[some], graph)
            expect(
                tuple(found.shape) == (len(features), DIM),
                f"{name} of {len(features)} nodes gave {tuple(found.shape)}; expected {(len(features), DIM)}.",
            )
            expect(found.isfinite().all(), f"{name} gave tokens that are not finite; mind nodes without edges.")

    def check_order(self) -> None:
        """Renumbering the nodes renumbers the tokens; the order of the edges says nothing."""
        encoder = self._built().eval()
        features, edges, types, _ = _batch()
        before = encoder(features, edges, types)
        new = torch.randperm(len(features))  # node v becomes new[v]
        moved = torch.empty_like(features)
        moved[new] = features
        shuffled = torch.randperm(edges.shape[1])
        after = encoder(moved, new[edges][:, shuffled], types[shuffled])
        expect(close(after[new], before, 1e-4), "the tokens depend on how the nodes or edges are numbered.")

    def check_batch(self) -> None:
        """A small graph's tokens do not depend on the other small graphs of the batch."""
        encoder = self._built()
        features, edges, types, graph = _batch()
        own = graph == 0
        inside = own[edges[0]]
        for mode in ("training", "evaluation"):
            encoder.train(mode == "training")
            if mode == "training" and any(isinstance(part, torch.nn.Dropout) and part.p for part in encoder.modules()):
                continue
            together = encoder(features, edges, types, graph)[own]
            alone = encoder(features[own], edges[:, inside], types[inside], graph[own])
            expect(
                close(together, alone, 1e-4),
                f"in {mode} a small graph alone has other tokens than in a batch; pass `graph` to what looks at all "
                "nodes, and normalise within nodes.",
            )

    def check_edges(self) -> None:
        """Edges and relations change the tokens exactly where `reads_edges` and `reads_types` say so."""
        encoder = self._built().eval()
        features, edges, types, graph = _batch()
        whole = encoder(features, edges, types, graph)
        without = encoder(features, edges[:, :0], types[:0], graph)
        read = not close(whole, without, 1e-6)
        expect(read == encoder.reads_edges, f"reads_edges is {encoder.reads_edges}, but edges change tokens: {read}.")
        other = encoder(features, edges, (types + 1) % RELATIONS, graph)
        read = not close(whole, other, 1e-6)
        expect(
            read == encoder.reads_types, f"reads_types is {encoder.reads_types}, but relations change tokens: {read}."
        )

    def check_gradient(self) -> None:
        """Gradients reach the features and every parameter."""
        encoder = self._built().eval()
        features, edges, types, graph = _batch()
        features.requires_grad_()
        found = encoder(features, edges, types, graph)
        (found * torch.randn(found.shape)).sum().backward()
        expect(features.grad is not None and bool(features.grad.any()), "no gradient reaches the features.")
        idle = [n for n, p in encoder.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
        expect(not idle, f"no gradient reaches {', '.join(idle)}; freeze or remove what is not used.")

    def check_rebuild(self) -> None:
        """Building again for other sizes leaves none of the old ones."""
        encoder = self._built()
        encoder.build(WIDTH + 2, 2 * DIM, RELATIONS + 2)
        edges, types = torch.tensor([[0], [1]]), torch.tensor([RELATIONS + 1])
        found = encoder(torch.randn(3, WIDTH + 2), edges, types)
        expect(tuple(found.shape) == (3, 2 * DIM), f"built for width {2 * DIM} it gives {tuple(found.shape)}.")

    def _built(self) -> GraphEncoder:
        encoder = self.make()
        encoder.build(WIDTH, DIM, RELATIONS)
        stir(encoder)
        return encoder


def _batch() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Two small graphs of seven and five nodes, the last of each isolated; every relation is used in both."""
    pairs = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0), (2, 0), (0, 4), (7, 8), (8, 9), (9, 10), (10, 7)]
    edges = torch.tensor(pairs + [(b, a) for a, b in pairs]).t()  # (2, E), its rows not contiguous on purpose
    types = torch.arange(edges.shape[1]) % RELATIONS
    graph = torch.tensor([0] * 7 + [1] * 5)
    return torch.randn(12, WIDTH), edges, types, graph


SUITE = GraphEncoderSuite
