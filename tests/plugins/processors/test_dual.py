from __future__ import annotations

import pytest

from mmgraph.errors import UsageError
from mmgraph.processors import dual_concatenated, dual_switched, fused
from mmgraph.sequence import Segment, Span
from mmgraph.testing import assert_conforms

PICTURE, QUESTION = Segment("image", 0), Segment("text", "which ?")
ANSWER, DRAWN = Segment("text", "this", target=True), Segment("image", 0, target=True)
SEMANTIC = Span(0, "image", "semantic", None, "semantic")
PIXELS = Span(0, "image", "image", None, "image")


def test_contract():
    assert_conforms("processors", dual_switched)
    assert_conforms("processors", dual_switched, lambda: dual_switched([], continuous=["semantic"]))
    assert_conforms("processors", dual_concatenated)
    assert_conforms("processors", dual_concatenated, lambda: dual_concatenated(["image", "semantic"], continuous=[]))
    assert_conforms("processors", fused)


def test_the_task_says_who_reads():
    asked = dual_switched().expand((PICTURE, QUESTION, ANSWER), "ask", True)
    assert asked == [SEMANTIC, Span(1, "text", "text"), Span(2, "text", "text", "text", role="target")]
    drawn = dual_switched().expand((PICTURE, QUESTION, DRAWN), "draw", True)
    assert drawn == [PIXELS, Span(1, "text", "text"), Span(2, "image", "image", "image", "image", "target")]
    edited = (dual_switched(tasks).expand((PICTURE, DRAWN), "edit", True)[0] for tasks in (["draw"], ["draw", "edit"]))
    assert list(edited) == [SEMANTIC, PIXELS]


def test_both_are_read_whatever_the_task():
    for task, last in (("ask", ANSWER), ("draw", DRAWN)):
        assert dual_concatenated().expand((PICTURE, last), task, True)[:2] == [SEMANTIC, PIXELS]
    codes = dual_concatenated(["image"], continuous=["semantic"]).expand((PICTURE, DRAWN), "edit", True)
    assert [(span.tokenizer, span.connector) for span in codes] == [("image", None), ("image", None)]


def test_fused_is_one_span_with_a_second_reading():
    given, drawn = fused().expand((PICTURE, DRAWN), "edit", True)
    assert given == Span(0, "image", "image", None, "image", beside="semantic")
    assert drawn == Span(1, "image", "image", "image", "image", "target")


@pytest.mark.parametrize("readings", [[], ["image", "image"]])
def test_readings_that_cannot_be(readings):
    with pytest.raises(UsageError, match="name one tokenizer or more, each once"):
        dual_concatenated(readings)


@pytest.mark.parametrize("make", [dual_switched, dual_concatenated, fused])
def test_an_unknown_modality(make):
    with pytest.raises(UsageError, match="task 'hear' has a segment of modality 'audio'"):
        make().expand((Segment("audio", None),), "hear", True)
