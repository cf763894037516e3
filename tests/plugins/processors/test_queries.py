from __future__ import annotations

import pytest

from mmgraph.errors import UsageError
from mmgraph.processors import clean_and_noised, queries, single
from mmgraph.sequence import Segment, Span
from mmgraph.testing import assert_conforms

TEXT, DRAWN = Segment("text", "a fox"), Segment("image", 0, target=True)


def test_contract():
    assert_conforms("processors", queries, lambda: queries(single(), 4))
    assert_conforms("processors", queries, lambda: queries(clean_and_noised(), 1, order="full"))


def test_before_each_picture_that_is_drawn():
    inner = single().expand((TEXT, DRAWN, TEXT, DRAWN), "draw", True)
    spans = queries(single(), 4).expand((TEXT, DRAWN, TEXT, DRAWN), "draw", True)
    learned = [
        Span(item, "image", "image_queries", source="queries", order="causal", num_queries=4) for item in (1, 3)
    ]
    assert spans == [inner[0], learned[0], inner[1], inner[2], learned[1], inner[3]]


def test_none_where_only_text_is_produced():
    segments = (Segment("image", 0), Segment("text", "a fox", target=True))
    assert queries(single(), 4).expand(segments, "name", True) == single().expand(segments, "name", True)


def test_their_number():
    with pytest.raises(UsageError, match="num_queries must be 1 or more, not 0"):
        queries(single(), 0)


def test_what_they_are_to_become():
    processor = queries(single(), 4, regressed="semantic")
    assert_conforms("processors", queries, lambda: queries(single(), 4, regressed="semantic"))
    drawn = [span for span in processor.expand((TEXT, DRAWN), "draw", True) if span.role == "target"]
    assert [span.beside for span in drawn] == ["semantic"]
    assert {span.beside for span in processor.templates() if span.role == "context"} == {None}
