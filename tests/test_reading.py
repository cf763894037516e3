"""The readers with a cache give what those that read everything give: the hidden states themselves."""

from __future__ import annotations

import pytest
import torch

from mmgraph.models.assembly import Assembly
from mmgraph.models.grouping import Group
from mmgraph.randomness import SampleRandom
from mmgraph.reading import CachedSpanReader, CachedTextReader, PlainSpanReader, PlainTextReader
from mmgraph.sequence import Sample, Segment, lay_out
from tests import tiny


@pytest.fixture(autouse=True)
def _no_gradient():
    with torch.inference_mode():
        yield


def prefix_of(model, samples: list[Sample]) -> Assembly:
    spans = [model.spans(sample, False) for sample in samples]
    random = SampleRandom(0, [sample.key for sample in samples])
    return model.assembler.assemble(samples, spans, random, closed=False)


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("count", [1, 4])
def test_words_one_by_one(tiny_model, tiny_samples, count):
    """Prompts of other lengths, some with a question; one prompt takes the way without scatter."""
    prompts = [tiny.opened(sample) for sample in tiny_samples if sample.task != "draw"][:count]
    prefix = prefix_of(tiny_model, prompts)
    cached, plain = CachedTextReader(tiny_model, prefix, 6), PlainTextReader(tiny_model, prefix)
    same(cached.prefill(), plain.prefill())
    for step in range(5):
        codes = torch.arange(count)[:, None] + step
        words = tiny_model.vocabulary.ids("text", codes)
        same(cached.read(words), plain.read(words))


@pytest.mark.parametrize("shown", [False, True])
def test_a_picture_again_and_again(tiny_model, tiny_samples, shown):
    """The prompts have other lengths; with `shown` a clean picture, with its own time, stands before the text."""
    draws = [sample for sample in tiny_samples if sample.task == "draw"]
    before = [(Segment("image", s.segments[1].content), s.segments[0]) if shown else s.segments[:1] for s in draws]
    prompts = [Sample((*given, Segment("image", None, True)), "draw", k) for k, given in enumerate(before)]
    span = tiny_model.spans(prompts[0], False)[-1]
    prefix = prefix_of(tiny_model, prompts)
    assert not bool(prefix.layout.valid.all())
    layout, _ = lay_out([[(tiny_model.assembler.piece(span, 4),)] for _ in prompts])
    places = torch.arange(len(prompts) * 4).view(-1, 4)
    cached, plain = (reader(tiny_model, prefix, layout) for reader in (CachedSpanReader, PlainSpanReader))
    for step in range(3):
        times = torch.linspace(0.1, 0.9, len(prompts)) * (step + 1) / 3
        group = Group("image", "image", torch.randn(len(prompts), 4, 48), places)
        (hidden, condition), (expected, its_condition) = (r.read(group, times) for r in (cached, plain))
        same(hidden, expected)
        same(condition, its_condition)
