from __future__ import annotations

from mmgraph.processors import single, written_prompt
from mmgraph.sequence import Segment, Span
from mmgraph.testing import assert_conforms

TEXT, DRAWN = Segment("text", "a fox"), Segment("image", 0, target=True)
WRITTEN = Segment("text", "a red fox", target=True)


def test_contract():
    assert_conforms("processors", written_prompt, lambda: written_prompt(single()))


def test_the_last_text_is_repeated():
    spans = written_prompt(single()).expand((TEXT, TEXT, DRAWN), "draw", True)
    assert spans[2] == Span(1, "text", "text", head="text", role="target", target=2)
    assert [span.item for span in spans] == [0, 1, 1, 2]


def test_a_prompt_of_the_samples_own_stays():
    assert written_prompt(single()).expand((TEXT, WRITTEN, DRAWN), "draw", True) == single().expand(
        (TEXT, WRITTEN, DRAWN), "draw", True
    )


def test_nothing_to_repeat_and_nothing_to_draw():
    for segments in ((DRAWN,), (Segment("image", 0), WRITTEN)):
        assert written_prompt(single()).expand(segments, "draw", True) == single().expand(segments, "draw", True)
