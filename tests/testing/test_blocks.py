from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from mmgraph import blocks
from tests.testing.broken import broken

Dense = blocks.dense


class TestBlocks:
    def block(self, **changes: Any) -> type:
        def __init__(self, num_heads: int = 8) -> None:  # noqa: N807
            Dense.__init__(self, num_heads)

        def spawn(self) -> Any:
            return type(self)(self.num_heads)

        return type("Odd", (Dense,), {"__doc__": "Odd.", "__init__": __init__, "spawn": spawn, **changes})

    def test_attention_without_the_mask(self):
        def forward(self, hidden, sequence, cache=None):
            query = key = value = hidden[:, None]
            return hidden + F.scaled_dot_product_attention(query, key, value)[:, 0], {}

        cls = self.block(forward=forward)
        broken("blocks", cls, "never changes an earlier one", "positions 0, 1, 2")
        broken("blocks", cls, "its own span may see", "moved")
        broken("blocks", cls, "Padding, other rows", "padded position")

    def test_plain_causal_attention_everywhere(self):
        def forward(self, hidden, sequence, cache=None):
            query = key = value = hidden[:, None]
            return hidden + F.scaled_dot_product_attention(query, key, value, is_causal=True)[:, 0], {}

        broken("blocks", self.block(forward=forward), "see each other", "does not reach all its tokens")

    def test_time_on_every_position(self):
        def forward(self, hidden, sequence, cache=None):
            hidden, losses = Dense.forward(self, hidden, sequence, cache)
            return hidden if sequence.condition is None else hidden + sequence.condition.mean(), losses

        broken("blocks", self.block(forward=forward), "Time changes its own span", "before it")

    def test_a_cache_that_is_not_read(self):
        def forward(self, hidden, sequence, cache=None):
            if cache is not None:
                sequence.keys = None
                sequence.__dict__.pop("mask", None)
            return Dense.forward(self, hidden, sequence, None)

        broken("blocks", self.block(forward=forward), "over a cache", "differ with a cache")

    @pytest.mark.parametrize(
        ("changes", "promise", "message"),
        [
            ({"spawn": lambda self: self}, "Spawning gives", "prototype parameters"),
            ({"spawn": lambda self: Dense(4)}, "Spawning gives", "`spawn` gave a DenseBlock"),
            (
                {"forward": lambda self, h, s, c=None: (F.dropout(h, 0.1), {})},
                "no dropout",
                "torch's global random state",
            ),
            (
                {"forward": lambda self, h, s, c=None: (h, {"aux": torch.ones(2)})},
                "auxiliary losses as finite scalars",
                "'aux'",
            ),
            (
                {"forward": lambda self, h, s, c=None: (h[:, :-1], {})},
                "Keeps the shape",
                "(2, 11, 64)",
            ),
            ({"forward": lambda self, h, s, c=None: h}, "Keeps the shape", "gave a Tensor; expected two results"),
        ],
    )
    def test_one_thing_wrong(self, changes, promise, message):
        broken("blocks", self.block(**changes), promise, message)

    def test_twin_weights(self):
        def build(self, dim, condition_dim):
            with torch.random.fork_rng():
                torch.manual_seed(7)
                Dense.build(self, dim, condition_dim)

        broken("blocks", self.block(build=build), "Spawning gives", "start with equal")
