from __future__ import annotations

import pytest

from mmgraph.errors import UsageError
from mmgraph.processors import clean_and_noised
from mmgraph.sequence import Segment, Span
from mmgraph.testing import assert_conforms

DRAWN, AFTER = Segment("image", 0, target=True), Segment("text", "and", target=True)
NOISED = Span(0, "image", "image", "image", "image", "target", visible="own")


def test_contract():
    assert_conforms("processors", clean_and_noised)
    assert_conforms(
        "processors", clean_and_noised, lambda: clean_and_noised(["image", "semantic"], continuous=["semantic"])
    )


def test_a_picture_that_is_drawn_last_has_no_clean_copy():
    assert clean_and_noised().expand((DRAWN,), "draw", True) == [NOISED]


def test_what_is_read_on_has_one_for_each_reading():
    spans = clean_and_noised().expand((DRAWN, AFTER), "draw", True)
    assert spans[:2] == [NOISED, Span(0, "image", "image", None, "image")]
    both = clean_and_noised(["image", "semantic"]).expand((DRAWN, DRAWN), "draw", True)
    assert [(s.item, s.tokenizer, s.connector, s.visible) for s in both] == [
        (0, "image", "image", "own"),
        (0, "image", "image", "all"),
        (0, "semantic", None, "all"),
        (1, "image", "image", "own"),
    ]


def test_a_picture_that_is_given_is_clean():
    spans = clean_and_noised().expand((Segment("image", 0), AFTER), "name", True)
    assert spans[0] == Span(0, "image", "image", None, "image")


def test_refusals():
    with pytest.raises(UsageError, match="clean_and_noised reads pictures through \\[\\]"):
        clean_and_noised([])
    with pytest.raises(UsageError, match="modality 'audio'"):
        clean_and_noised().expand((Segment("audio", None),), "hear", True)
