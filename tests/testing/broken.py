"""What the tests of the suites share: each of their plugins breaks one promise."""

from __future__ import annotations

from typing import Any

from mmgraph import testing


def broken(kind: str, cls: type, promise: str, message: str, make: Any = None) -> None:
    """Assert that a promise whose name contains `promise` is found broken, saying `message`."""
    found = [check for check in testing.check(kind, cls, make=make) if check.error is not None]
    names = [check.name for check in found]
    assert any(promise in name for name in names), names
    assert any(message in str(check.error) for check in found if promise in check.name), found
