"""Text as vectors: denoised as a whole, by the parts that draw pictures."""

from __future__ import annotations

import pytest
import torch

from mmgraph import generation
from mmgraph.connectors import linear
from mmgraph.errors import UsageError
from mmgraph.heads import ddpm, flow, next_token
from mmgraph.painting import picture_tokens
from mmgraph.processors import single
from mmgraph.sequence import Sample, Segment
from mmgraph.testing.stand_ins import pictures
from mmgraph.tokenizers import patch, simplex
from tests import tiny

PICTURE = pictures(3, tiny.SIZE)


@pytest.fixture(scope="module")
def model():
    return tiny.model(
        processor=single(continuous=["text", "image"]),
        tokenizers={"text": simplex(), "image": patch(tiny.SIZE, 4)},
        connectors={"text": linear(), "image": linear()},
        heads={"text": ddpm(), "image": flow()},
    )


def both(number: int) -> Sample:
    segments = (Segment("text", tiny.TEXTS[number], target=True), Segment("image", PICTURE[number], target=True))
    return Sample(segments, "both", number)


def test_each_part_has_a_noise_level_of_its_own(model):
    assembly = model.assemble([both(0), both(1)], training=True)
    assert len(assembly.times) == 4
    assert len(set(assembly.times.tolist())) == 4
    found, _ = model.losses(assembly)
    positions = {name: 2 * model.tokenizer(name).num_tokens for name in ("text", "image")}
    assert {name: int(count) for name, (_, count) in found.items()} == positions


def test_a_caption_that_is_given_is_clean(model):
    drawn = Sample((Segment("text", "a red fox"), Segment("image", PICTURE[0], target=True)), "draw", 5)
    times = model.assemble([drawn], training=True).times
    assert times[0] == 1
    assert times[1] < 1


def test_the_picture_reads_all_of_the_words_and_the_words_read_each_other(model):
    def loss(text: str) -> torch.Tensor:
        drawn = Sample((Segment("text", text), Segment("image", PICTURE[0], target=True)), "draw", 5)
        return model.losses(model.assemble([drawn], fixed_time=0.5))[0]["image"][0]

    assert loss("a red fox") != loss("a red ears")
    layout = model.assemble([both(0)]).layout
    (words,) = layout.order[0][(layout.modality[0] == 0) & (layout.timed[0] >= 0)].unique().tolist() or [None]
    assert words is not None, "one order for all words: each sees each"


def test_texts_are_denoised(model):
    texts = generation.name(model, torch.stack(list(PICTURE)))
    assert len(texts) == 3
    known = {word for text in tiny.TEXTS for word in text.split()} | {"<unk>"}
    assert {word for text in texts for word in text.split()} <= known
    assert texts == generation.name(model, torch.stack(list(PICTURE))), "the same seed, the same texts"
    (done,) = generation.complete(model, [both(0)][:1])
    assert done.shape == PICTURE[0].shape


def test_cached_equals_uncached(model):
    asked = Segment("text", None, target=True)
    opened = [Sample((Segment("image", one), asked), "name", number) for number, one in enumerate(PICTURE)]
    *_, cached = picture_tokens(model, opened, guidance=1.0)
    *_, plain = picture_tokens(model, opened, guidance=1.0, use_cache=False)
    torch.testing.assert_close(cached, plain, rtol=1e-4, atol=1e-5)


def test_nothing_is_streamed(model):
    with pytest.raises(UsageError, match="denoised as a whole: it writes no word after another"):
        list(generation.stream(model, [(Segment("image", PICTURE[0]),)]))


def test_words_need_codes():
    with pytest.raises(UsageError, match="gives vectors; use a discrete tokenizer"):
        tiny.model(
            processor=single(continuous=["text", "image"]),
            tokenizers={"text": simplex(), "image": patch(tiny.SIZE, 4)},
            connectors={"text": linear(), "image": linear()},
            heads={"text": next_token(), "image": flow()},
        )
