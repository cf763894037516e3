from __future__ import annotations

import pytest
from torch import nn

from mmgraph import graph_injectors
from tests.testing.broken import broken

Prompt, Memory, Lines = (
    graph_injectors.soft_prompt,
    graph_injectors.gated_cross_attention,
    graph_injectors.linearised_neighbours,
)


class TestGraphInjectors:
    @pytest.mark.parametrize(
        ("base", "changes", "promise", "message"),
        [
            (Prompt, {"num_tokens": lambda self, m: 2}, "finite tokens a node", "expected (4, 2"),
            (
                Prompt,
                {"forward": lambda self, nodes: Prompt.forward(self, nodes) / (nodes.own[:, None, :1] * 0)},
                "finite tokens a node",
                "not finite",
            ),
            (Memory, {"num_tokens": lambda self, m: 4 - m}, "never make fewer", "[4, 3, 2, 1]"),
            (Prompt, {"linearises": True}, "never make fewer", "one marker a neighbour, not [1, 1, 1, 1]"),
            (Prompt, {"place": "condition", "num_tokens": lambda self, m: 2}, "never make fewer", "one vector a node"),
            (
                Prompt,
                {"forward": lambda self, nodes: Prompt.forward(self, nodes) - nodes.own.mean(0)},
                "own row alone",
                "than in a batch",
            ),
            (
                Prompt,
                {"forward": lambda self, nodes: Prompt.forward(self, nodes) + nodes.all[0].mean(1, keepdim=True)},
                "changes nothing",
                "reads what stands at padding",
            ),
            (
                Prompt,
                {"forward": lambda self, n: Prompt.forward(self, n) + n.contents.sum(1)[n.places[:, :1]]},
                "changes nothing",
                "or is hidden",
            ),
            (Prompt, {"encodes": False}, "exactly where", "`encodes` is False, but the node's token is read: True"),
            (Lines, {"encodes": True}, "exactly where", "`encodes` is True, but the node's token is read: False"),
        ],
    )
    def test_one_thing_wrong(self, base, changes, promise, message):
        broken("graph_injectors", type("Odd", (base,), {"__doc__": "Odd.", **changes}), promise, message)

    def test_parameters_that_do_nothing(self):
        class Idle(Prompt):
            """Has a layer that nobody calls."""

            def build(self, dim: int, condition_dim: int, num_relations: int) -> None:
                super().build(dim, condition_dim, num_relations)
                self.spare = nn.Linear(2, 2)

        broken("graph_injectors", Idle, "Gradients reach", "no gradient reaches spare.weight")

    def test_no_way_back_to_the_encoder(self):
        class Deaf(Prompt):
            """Reads a copy."""

            def forward(self, nodes):
                return self.layers(nodes.own.detach()).view(len(nodes.own), self.count, self.dim)

        broken("graph_injectors", Deaf, "Gradients reach", "reaches the node's token")

    def test_a_stale_size(self):
        class Stale(Prompt):
            """Builds once."""

            def build(self, dim: int, condition_dim: int, num_relations: int) -> None:
                if not hasattr(self, "layers"):
                    super().build(dim, condition_dim, num_relations)

        broken("graph_injectors", Stale, "leaves none of the old ones", "")
