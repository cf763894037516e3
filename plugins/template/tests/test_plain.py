from mmgraph_template.plain import PlainProcessor

from mmgraph.sequence import Segment
from mmgraph.testing import assert_conforms


def test_keeps_the_contract():
    assert_conforms("processors", PlainProcessor)


def test_targets_get_the_head_of_their_modality():
    spans = PlainProcessor().expand([Segment("text", "a"), Segment("image", None, target=True)], "draw", True)
    assert [(span.tokenizer, span.connector, span.head) for span in spans] == [
        ("text", None, None),
        ("image", "image", "image"),
    ]
