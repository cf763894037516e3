"""Conformance suites: what each contract promises, as checks that any plugin can be held to.

In a third party's own tests: `mmgraph.testing.assert_conforms("tokenizers", MyTokenizer)`; on the command
line: `mmgraph plugins check NAME`.
"""

from __future__ import annotations

from mmgraph.testing.suite import SUITES, Check, assert_conforms, check

__all__ = ["SUITES", "Check", "assert_conforms", "check"]
