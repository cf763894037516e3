from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor

from mmgraph import blocks, connectors, heads, registry, testing
from mmgraph.errors import UsageError
from mmgraph.testing.stand_ins import Codes, Vectors, pictures
from tests.testing.broken import broken
from tests.testing.test_datasets import Squares

Dense = blocks.dense
Linear = connectors.linear
Flow = heads.flow


class TestEveryKind:
    def test_options_without_names_or_types(self):
        class Loose(Linear):
            """Takes anything."""

            def __init__(self, **options: Any) -> None:
                super().__init__()

        class Untyped(Linear):
            """Takes something."""

            def __init__(self, bias=True) -> None:
                super().__init__(bias)

        broken("connectors", Loose, "Options are named", "name each option")
        broken("connectors", Untyped, "Options are named", "`bias` has no type")

    def test_options_that_yaml_cannot_hold(self):
        class Opaque(Linear):
            """Takes a tensor."""

            def __init__(self, start: Tensor = torch.zeros(2)) -> None:  # noqa: B008
                super().__init__()

        broken("connectors", Opaque, "makes it again", "cannot be written into a configuration")

    def test_a_failure_is_told_once_with_its_place_in_the_plugins_code(self):
        class Fixed(Linear):
            """Takes its width from itself."""

            def forward(self, tokens, context=None):
                raise KeyError("width")

        found = [check.error for check in testing.check("connectors", Fixed) if check.error]
        line = Fixed.forward.__code__.co_firstlineno + 1
        assert found[0] == f"KeyError: 'width' (test_suite.py line {line}, in forward)"
        assert set(found[1:]) == {"the same error as above"}

    def test_a_constructor_that_leaves_out_torchs(self):
        class Bare(Linear):
            """Forgets super().__init__()."""

            def __init__(self, bias: bool = True) -> None:
                self.bias = bias

        assert [check.name for check in testing.check("connectors", Bare) if check.error] == ["can be made"]
        broken("connectors", Bare, "can be made", "does not call super().__init__()")

    def test_what_is_no_plugin_or_cannot_be_made(self):
        class Needy(Linear):
            """Has an option without a default."""

            def __init__(self, width: int) -> None:
                super().__init__()

        checks = testing.check("connectors", Needy)
        assert [(check.error, check.tried) for check in checks] == [(None, True), (None, True), (None, False)]
        assert "not tried: width must be given" in checks[-1].name
        with pytest.raises(AssertionError, match="not tried: width"):
            testing.assert_conforms("connectors", Needy)
        testing.assert_conforms("connectors", Needy, lambda: Needy(3))
        broken("connectors", Dense, "derives from the contract", "derived from mmgraph.connectors.Connector")
        broken("connectors", connectors.Connector, "derives from", "lacks build, forward, num_tokens")

    def test_the_message_lists_what_is_broken(self):
        class Odd(Linear):
            """Odd."""

            def num_tokens(self, n: int) -> int:
                return n + 1

        with pytest.raises(AssertionError, match=r"Odd breaks the contract of mmgraph\.connectors:\n- Gives"):
            testing.assert_conforms("connectors", Odd)

    def test_checks_unpack(self):
        checks = testing.check("connectors", Linear)
        assert [(name, error) for name, error in checks] == [(check.name, None) for check in checks]
        assert len({check.name for check in checks}) == len(checks)

    def test_unknown_kind(self):
        with pytest.raises(UsageError, match=r"no conformance suite for 'head'. Did you mean 'heads'"):
            testing.check("head", Flow)

    def test_every_kind_of_class_has_a_suite(self):
        assert set(testing.SUITES) == set(registry.CLASS_KINDS)

    def test_the_callers_random_state_is_left_alone(self):
        torch.manual_seed(5)
        random.seed(5)
        expected = torch.rand(1), random.random()
        torch.manual_seed(5)
        random.seed(5)
        testing.check("heads", Flow)
        testing.check("datasets", Squares)
        assert (torch.rand(1), random.random()) == expected

    @pytest.mark.parametrize("stand_in", [Vectors, Codes])
    def test_the_stand_ins_conform(self, stand_in):
        step = 4 if stand_in is Vectors else 16
        small = [picture[:1, ::step, ::step].clone() for picture in pictures(6)]
        testing.assert_conforms("tokenizers", stand_in, contents=small)
