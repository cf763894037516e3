"""How many positions a picture takes in what a run records."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from mmgraph.connectors import resampler
from mmgraph.evaluation.record import logged, visual_tokens
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


def test_what_was_logged_is_its_mean_over_the_second_half(tmp_path: Path):
    log = tmp_path / "metrics.csv"
    # a callback writes rows of its own, ragged beside those of the module
    log.write_text(
        "epoch,step,gradient_cosine_image_text,train_loss,train_load_max\n"
        ",0,0.9,,\n0,49,,4.0,3.0\n,50,0.2,,\n,75,nan,,\n0,99,,2.0,1.5\n,100,0.4,,\n",
        encoding="utf-8",
    )
    found = logged(log)
    assert found == {"gradient_cosine_image_text": 0.30000000000000004, "train_load_max": 1.5, "train_loss": 2.0}
    assert logged(tmp_path / "none.csv") == {}
