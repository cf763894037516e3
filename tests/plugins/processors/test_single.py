from __future__ import annotations

import pytest

from mmgraph.errors import UsageError
from mmgraph.processors import single
from mmgraph.sequence import Segment, Span
from mmgraph.testing import assert_conforms


def test_contract():
    assert_conforms("processors", single)
    assert_conforms("processors", single, lambda: single(["text"], []))
    assert_conforms("processors", single, lambda: single(["text", "image"], []))


def test_one_span_per_segment():
    segments = (Segment("image", 0), Segment("text", "which ?"), Segment("text", "this", target=True))
    assert single().expand(segments, "ask", True) == [
        Span(0, "image", "image", None, "image"),
        Span(1, "text", "text"),
        Span(2, "text", "text", "text", role="target"),
    ]


def test_codes_need_no_connector():
    segments = (Segment("text", "a fox"), Segment("image", None, target=True))
    spans = single(continuous=()).expand(segments, "draw", False)
    assert spans[1] == Span(1, "image", "image", "image", None, "target")


def test_an_unknown_modality():
    with pytest.raises(UsageError, match="task 'hear' has a segment of modality 'audio'"):
        single().expand((Segment("audio", None),), "hear", True)


def test_orders_are_told_by_the_spans():
    processor = single(orders={"image": "causal"})
    assert {span.order for span in processor.templates() if span.modality == "image"} == {"causal"}
    assert {span.order for span in processor.templates() if span.modality == "text"} == {None}
    with pytest.raises(UsageError, match="orders of the single processor names 'audio'; it knows text, image"):
        single(orders={"audio": "causal"})
    with pytest.raises(UsageError, match="must be 'causal' or 'full', not 'spiral'"):
        single(orders={"image": "spiral"})


def test_what_is_only_produced_is_never_read():
    processor = single(produced=["image"])
    assert [(span.modality, span.role) for span in processor.templates()] == [
        ("text", "context"),
        ("text", "target"),
        ("image", "target"),
    ]
    assert processor.templates()[-1].connector is None
    with pytest.raises(UsageError, match="task 'name' shows a segment of modality 'image', which the single processor"):
        processor.expand((Segment("image", 0), Segment("text", "fox", target=True)), "name", True)
    with pytest.raises(UsageError, match="single has image in `memory` and in `produced`"):
        single(memory=["image"], produced=["image"])
