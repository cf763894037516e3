"""Every block inside the one model: batches, packing, and generation with a cache and without."""

from __future__ import annotations

import pytest
import torch

from mmgraph import generation
from mmgraph.blocks import dense, experts_by_modality, experts_by_role, gated_cross_attention, moe_topk
from mmgraph.inspection import inspect
from mmgraph.models import Sampling, load, save
from mmgraph.processors import clean_and_noised
from mmgraph.sequence import Sample, Segment
from tests import tiny
from tests.test_inspection import InMemory
from tests.test_processors import prompts, samples, sums, tokens

BLOCKS = {
    "dense": lambda: dense(4),
    "experts_by_modality": lambda: experts_by_modality(4),
    "experts_by_role": lambda: experts_by_role(4),
    "moe_topk": lambda: moe_topk(4, 4),
    "gated_cross_attention, moe_topk": lambda: gated_cross_attention(moe_topk(4, 4, top_k=1), 4),
}


@pytest.fixture(params=BLOCKS, scope="module")
def name(request):
    return request.param


@pytest.fixture(scope="module")
def model(name):
    return tiny.perplexing(tiny.model(processor=clean_and_noised(), block=BLOCKS[name]()))


def test_a_batch_is_the_sum_of_its_samples(model):
    """Samples have other lengths: padding and batch mates change nothing."""
    together = sums(model, samples(), seed=3, training=True)
    alone = [sums(model, [sample], seed=3, training=True) for sample in samples()]
    for head, expected in together.items():
        torch.testing.assert_close(sum(part[head] for part in alone if head in part), expected, rtol=1e-4, atol=1e-3)


def test_packing_changes_nothing(name, model):
    packed = tiny.perplexing(tiny.model(processor=clean_and_noised(), block=BLOCKS[name](), row_length=64))
    expected, found = (sums(one, samples(), seed=1, training=True) for one in (model, packed))
    for head, value in expected.items():
        torch.testing.assert_close(found[head], value, rtol=1e-4, atol=1e-3)


def test_drawing_with_a_cache_is_drawing_without(model):
    cached, plain = (tokens(model, prompts(), guidance=2.0, use_cache=use) for use in (True, False))
    for left, right in zip(cached, plain, strict=True):
        torch.testing.assert_close(left, right, atol=2e-3, rtol=2e-3)
    together = cached[-1]
    for row, prompt in enumerate(prompts()):
        found = tokens(model, [prompt], guidance=2.0)[-1]
        torch.testing.assert_close(found, together[row : row + 1], atol=2e-3, rtol=2e-3)


def test_writing_with_a_cache_is_writing_without(model):
    opened = [tiny.opened(sample) for sample in tiny.samples() if sample.task != "draw"]
    cached, plain = (generation.write(model, opened, max_tokens=8, use_cache=use) for use in (True, False))
    assert cached == plain
    assert any(text for text, _ in cached)


def test_saved_and_loaded_it_draws_the_same(model, tmp_path):
    save(model, tmp_path / "model")
    assert torch.equal(tokens(load(tmp_path / "model"), prompts())[-1], tokens(model, prompts())[-1])


@pytest.mark.parametrize("name", ["experts_by_modality", "moe_topk"])
def test_inspection_tells_who_goes_where(name):
    model = tiny.model(block=BLOCKS[name](), sampling=Sampling(num_steps=2), max_text=16, depth=1)
    drawing = Sample((Segment("text", "a red fox"), tiny.samples()[0].segments[1]), "draw")
    text = inspect(model, InMemory([drawing], batch_size=1))
    rows = [row for row in map(str.split, text.splitlines()) if row[:1] == ["expert"] and row[1].isdigit()]
    words, patches, together = ([int(row[k]) for row in rows] for k in (-3, -2, -1))
    chosen = 2 if name == "moe_topk" else 1
    assert (sum(words), sum(patches), sum(together)) == (chosen * 7, chosen * 4, chosen * 11)
    if name == "experts_by_modality":
        assert (words, patches) == ([7, 0], [0, 4])
    (active,) = (line.split()[-1] for line in text.splitlines() if line.strip().startswith("active per position"))
    idle = sum(p.numel() for p in model.blocks[0].parameters()) - model.blocks[0].active_parameters
    assert int(active.replace(",", "")) == sum(p.numel() for p in model.parameters()) - idle
