"""How many positions a picture takes in what a run records."""

from __future__ import annotations

from types import SimpleNamespace

from mmgraph.connectors import resampler
from mmgraph.evaluation.record import visual_tokens
from mmgraph.heads import next_token
from mmgraph.tokenizers import patch, word
from tests import tiny


def test_visual_tokens_are_counted_after_the_connector():
    assert visual_tokens(tiny.model(stirred=False)) == 4
    fewer = tiny.model(stirred=False, connectors={"image": resampler(2)}, heads={"text": next_token()})
    assert visual_tokens(fewer) == 2


def test_models_without_a_processor_read_what_their_image_tokenizer_gives():
    image = patch(tiny.SIZE, 2)
    assert visual_tokens(SimpleNamespace(tokenizers={"text": word(), "image": image})) == 16
    assert visual_tokens(SimpleNamespace(tokenizers={"text": word()})) is None
