from __future__ import annotations

import pytest

from mmgraph.budgets import Budget, parse
from mmgraph.errors import UsageError


def test_both_forms_and_back():
    assert parse("2000steps") == Budget(steps=2000)
    assert parse("600cpu-s") == Budget(cpu_seconds=600.0)
    assert parse(" 1 step ") == Budget(steps=1)
    for text in ("2000steps", "0.5cpu-s", "600cpu-s"):
        assert str(parse(text)) == text


@pytest.mark.parametrize("text", ["", "600", "600s", "0steps", "0cpu-s", "1.5steps", "-3steps", "600 cpu", "steps"])
def test_what_is_no_budget(text):
    with pytest.raises(UsageError, match=r"2000steps .* or 600cpu-s"):
        parse(text)
