from __future__ import annotations

import pytest
from torch import nn

from mmgraph import graph_encoders
from tests.testing.broken import broken

None_, RGCN = graph_encoders.none, graph_encoders.rgcn


class TestGraphEncoders:
    @pytest.mark.parametrize(
        ("base", "changes", "promise", "message"),
        [
            (None_, {"forward": lambda self, x, e, t, g=None: self.projection(x)[:-1]}, "isolated", "expected (12"),
            (
                None_,
                {"forward": lambda self, x, e, t, g=None: self.projection(x) / (x[:, :1] * 0)},
                "isolated nodes",
                "not finite",
            ),
            (
                None_,
                {"forward": lambda self, x, e, t, g=None: self.projection(x).cumsum(0)},
                "order of the edges",
                "how the nodes or edges are numbered",
            ),
            (
                None_,
                {"forward": lambda self, x, e, t, g=None: self.projection(x - x.mean(0))},
                "other small graphs",
                "normalise within nodes",
            ),
            (None_, {"reads_edges": True}, "exactly where", "reads_edges is True, but edges change tokens: False"),
            (RGCN, {"reads_types": False}, "exactly where", "reads_types is False, but relations change tokens: True"),
            (
                None_,
                {"forward": lambda self, x, e, t, g=None: self.projection(x.detach())},
                "Gradients reach",
                "no gradient reaches the features",
            ),
        ],
    )
    def test_one_thing_wrong(self, base, changes, promise, message):
        broken("graph_encoders", type("Odd", (base,), {"__doc__": "Odd.", **changes}), promise, message)

    def test_a_stale_size(self):
        class Stale(None_):
            """Builds once."""

            def build(self, in_dim: int, dim: int, num_relations: int) -> None:
                if not hasattr(self, "projection"):
                    super().build(in_dim, dim, num_relations)

        broken("graph_encoders", Stale, "leaves none of the old ones", "")

    def test_parameters_that_do_nothing(self):
        class Idle(None_):
            """Has a layer that nobody calls."""

            def build(self, in_dim: int, dim: int, num_relations: int) -> None:
                super().build(in_dim, dim, num_relations)
                self.spare = nn.Linear(2, 2)

        broken("graph_encoders", Idle, "Gradients reach", "no gradient reaches spare.weight")
