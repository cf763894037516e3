from __future__ import annotations

from typing import Any

import pytest

from mmgraph import connectors
from tests.testing.broken import broken

Linear = connectors.linear


class TestConnectors:
    @pytest.mark.parametrize(
        ("changes", "promise", "message"),
        [
            ({"num_tokens": lambda self, n: 2 * n}, "known before", "the width say (3, 8, 64)"),
            (
                {"forward": lambda self, t, context=None: self.projection(t - t.mean(0))},
                "do not depend on the other rows",
                "normalise within rows",
            ),
            (
                {"forward": lambda self, t, context=None: self.projection(t.detach())},
                "Gradients reach",
                "no gradient reaches the tokens",
            ),
        ],
    )
    def test_one_thing_wrong(self, changes, promise, message):
        broken("connectors", type("Odd", (Linear,), {"__doc__": "Odd.", **changes}), promise, message)

    def test_a_stale_size(self):
        class Stale(Linear):
            """Builds once."""

            def build(self, tokenizer: Any, dim: int) -> None:
                if not hasattr(self, "projection"):
                    super().build(tokenizer, dim)

        broken("connectors", Stale, "leaves no stale size", "")
