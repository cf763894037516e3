"""Every processor through the one model: training, generation with a cache and without, held-out losses, saving."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from mmgraph import generation, processors
from mmgraph.connectors import fusion, linear
from mmgraph.evaluation.losses import held_out
from mmgraph.heads import masked, next_scale, next_token
from mmgraph.models import load, save
from mmgraph.sequence import Sample, Segment
from mmgraph.testing.stand_ins import Codes, ScaleCodes, pictures
from mmgraph.tokenizers import patch
from mmgraph.vocabulary import BOI, BOS, EOI, EOS, NULL
from tests import tiny
from tests.evaluation.world import Squares

BOTH = ("image", "semantic")
PROCESSORS: dict[str, Any] = {
    "single": lambda: processors.single(),
    "dual_switched": lambda: processors.dual_switched(),
    "dual_concatenated": lambda: processors.dual_concatenated(),
    "fused": lambda: processors.fused(),
    "clean_and_noised": lambda: processors.clean_and_noised(),
    "clean_and_noised, both": lambda: processors.clean_and_noised(BOTH, continuous=BOTH),
    "queries": lambda: processors.queries(processors.single(), 3),
    "queries, copies": lambda: processors.queries(processors.clean_and_noised(), 2, order="full"),
}
FOX, YES = Segment("text", "a red fox"), Segment("text", "yes")
SHOWN = pictures(8, tiny.SIZE)


def model_of(name: str, **options: Any):
    """A model that draws four patches and, where the processor wants it, sees sixteen smaller ones."""
    processor = PROCESSORS[name]()
    read = {part for span in processor.templates() for part in (span.tokenizer, span.beside)}
    tokenizers = {"text": tiny.word(), "image": patch(tiny.SIZE, 4), "semantic": patch(tiny.SIZE, 2)}
    connectors = {"image": fusion() if name == "fused" else linear(), "semantic": linear()}
    if name == "fused":
        connectors.pop("semantic")
    return tiny.model(
        processor=processor,
        tokenizers={key: part for key, part in tokenizers.items() if key in read},
        connectors={key: part for key, part in connectors.items() if key in read},
        **options,
    )


@pytest.fixture(params=PROCESSORS, scope="module")
def name(request):
    return request.param


@pytest.fixture(scope="module")
def model(name):
    return tiny.perplexing(model_of(name))


def samples() -> list[Sample]:
    """Samples of every task; two of them read on after what they draw, one draws twice."""
    first, second = (Segment("image", picture) for picture in SHOWN[:2])
    return [
        *tiny.samples()[:4],
        Sample((FOX, tiny.aim(first), tiny.aim(YES)), "draw", 20),
        Sample((first, FOX, tiny.aim(second), tiny.aim(YES)), "edit", 21),
        Sample((FOX, tiny.aim(first), YES, tiny.aim(second)), "draw", 22),
    ]


def sums(model, given, **options) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        found, _ = model.losses(model.assemble(given, **options))
    return {head: torch.stack((total, count.to(total))) for head, (total, count) in found.items()}


def drawing(key: int, *before: Segment) -> Sample:
    return Sample((*before, Segment("image", None, target=True)), "draw", key)


def prompts() -> list[Sample]:
    shown = [Segment("image", picture) for picture in SHOWN[:2]]
    return [
        drawing(0, FOX),
        drawing(1, shown[0], Segment("text", "a big red fox with big ears")),
        drawing(2, Segment("text", "two small ears"), shown[1], YES),
    ]


def tokens(model, given, **options) -> list[torch.Tensor]:
    return list(generation.picture_tokens(model, given, **{"num_steps": 3, "seed": 3, **options}))


def test_training_reaches_every_parameter(model):
    model.zero_grad()
    found, _ = model.losses(model.assemble(samples(), training=True))
    torch.stack([total / count for total, count in found.values()]).sum().backward()
    idle = [key for key, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    model.zero_grad()
    assert idle == []


def test_a_batch_is_the_sum_of_its_samples(model):
    together = sums(model, samples(), seed=3, training=True)
    alone = [sums(model, [sample], seed=3, training=True) for sample in samples()]
    for head, expected in together.items():
        torch.testing.assert_close(sum(part[head] for part in alone if head in part), expected, rtol=1e-4, atol=1e-3)


def test_packing_changes_nothing(name, model):
    packed = tiny.perplexing(model_of(name, row_length=96))
    expected, found = (sums(one, samples(), seed=1, training=True) for one in (model, packed))
    for head, value in expected.items():
        torch.testing.assert_close(found[head], value, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_drawing_with_a_cache_is_drawing_without(model, guidance):
    cached, plain = (tokens(model, prompts(), guidance=guidance, use_cache=use) for use in (True, False))
    assert len(cached) == len(plain) == 3
    for left, right in zip(cached, plain, strict=True):
        torch.testing.assert_close(left, right, atol=2e-3, rtol=2e-3)


def test_writing_with_a_cache_is_writing_without(model):
    written = [tiny.opened(sample) for sample in samples() if sample.segments[-1].modality == "text"]
    opened = [
        replace(sample, segments=tuple(replace(part, target=part.content is None) for part in sample.segments))
        for sample in written
    ]
    cached, plain = (generation.write(model, opened, max_tokens=8, use_cache=use) for use in (True, False))
    assert cached == plain
    assert any(text for text, _ in cached)


def test_a_drawing_does_not_depend_on_its_batch(model):
    together = tokens(model, prompts(), guidance=2.0)[-1]
    for row, prompt in enumerate(prompts()):
        torch.testing.assert_close(
            tokens(model, [prompt], guidance=2.0)[-1], together[row : row + 1], atol=2e-3, rtol=2e-3
        )


def test_it_writes_and_draws_in_turn(model, monkeypatch):
    """What is drawn is context of what follows; the model of random weights is made to draw after its first text."""
    said = iter([("fox", True), ("yes", False)])
    monkeypatch.setattr(generation, "writing", lambda *args, **options: iter([[next(said)]]))
    added = generation.interleave(model, [FOX, Segment("image", SHOWN[0])], guidance=1.5)
    assert [segment.modality for segment in added] == ["text", "image", "text"]


def test_held_out_losses(model):
    found = held_out(model, Squares(), "val", limit=4)
    assert {task: sorted(heads) for task, heads in found.items()} == {
        "draw": ["image"],
        "name": ["text"],
        "ask": ["text"],
    }
    assert all(bool(loss.values.isfinite().all()) for heads in found.values() for loss in heads.values())


def test_saved_and_loaded_it_draws_the_same(model, tmp_path):
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert torch.equal(tokens(again, prompts())[-1], tokens(model, prompts())[-1])


def text_loss(model, sample: Sample, seed: int = 1) -> torch.Tensor:
    """The loss of the words after the picture, and of the end; what comes before is the same in all comparisons."""
    assembly = model.assemble([sample], seed=seed)
    with torch.no_grad():
        return model.losses(assembly)[0]["text"][0]


class TestCleanAndNoised:
    COPIES = ("clean_and_noised", "clean_and_noised, both")
    DRAWN = Sample((FOX, tiny.aim(Segment("image", SHOWN[0])), tiny.aim(YES)), "draw", 4)

    @pytest.mark.parametrize("name", COPIES)
    def test_what_follows_is_read_as_if_the_picture_had_been_given(self, name):
        """The words after a drawn picture have the hidden states that generation gives them."""
        model = model_of(name)
        given = replace(self.DRAWN, segments=(FOX, Segment("image", SHOWN[0]), tiny.aim(YES)))
        drawn, shown = (model.assemble([sample]) for sample in (self.DRAWN, given))
        states = [model.run(model.embed(assembly))[0][0] for assembly in (drawn, shown)]
        clean = (drawn.layout.own[0] == 0).nonzero().flatten()
        assert len(clean) == shown.layout.shape[1] == drawn.layout.shape[1] - 4
        torch.testing.assert_close(states[0][clean], states[1])
        for field in ("modality", "position"):
            assert torch.equal(getattr(drawn.layout, field)[0, clean], getattr(shown.layout, field)[0])

    def test_the_noise_reaches_the_words_only_where_there_is_one_span(self):
        """The single processor makes later text read the noised picture."""
        for name, same in (("single", False), *((name, True) for name in self.COPIES)):
            model = model_of(name)
            first, second = (text_loss(model, self.DRAWN, seed) for seed in (1, 2))
            assert torch.equal(first, second) is same, name

    def test_the_noised_copy_is_drawn_as_without_a_clean_one(self):
        model = model_of("clean_and_noised")
        alone = replace(self.DRAWN, segments=self.DRAWN.segments[:2])
        torch.testing.assert_close(sums(model, [self.DRAWN])["image"], sums(model, [alone])["image"])

    def test_both_copies_stand_between_one_pair_of_markers(self):
        model = model_of("clean_and_noised")
        assembly = model.assemble([self.DRAWN])
        kinds = torch.where(assembly.layout.modality == 1, 1 + assembly.layout.own, 0)[0].tolist()
        ids = assembly.ids[0].tolist()
        assert kinds == [0] * 5 + [2] * 4 + [1] * 4 + [0] * 3
        assert [ids[0], ids[4], ids[13], ids[15]] == [BOS, BOI, EOI, EOS]
        assert assembly.times[0] < 1 == assembly.times[1]

    @pytest.mark.parametrize(("head", "tokenizer", "size"), [(masked, Codes, 2), (next_scale, ScaleCodes, 4)])
    def test_heads_that_mask_or_refine_codes(self, head, tokenizer, size):
        model = tiny.model(
            processor=processors.clean_and_noised(continuous=()),
            tokenizers={"text": tiny.word(), "image": tokenizer()},
            connectors={},
            heads={"text": next_token(), "image": head()},
        )
        shown = torch.randint(0, 256, (2, 1, size, size)).to(torch.uint8)
        drawn = Sample((FOX, tiny.aim(Segment("image", shown[0])), tiny.aim(YES)), "draw", 4)
        given = replace(drawn, segments=(FOX, Segment("image", shown[0]), tiny.aim(YES)))
        clean = (model.assemble([drawn]).layout.own[0] == 0).nonzero().flatten()
        states = [model.run(model.embed(model.assemble([sample])))[0][0] for sample in (drawn, given)]
        torch.testing.assert_close(states[0][clean], states[1])
        asked = [drawing(0, FOX), drawing(1, Segment("image", shown[1]), Segment("text", "two small ears"))]
        for left, right in zip(*(tokens(model, asked, use_cache=use) for use in (True, False)), strict=True):
            assert torch.equal(left, right)


class TestQueries:
    def test_they_stand_inside_the_picture_that_is_drawn(self):
        model = model_of("queries")
        assembly = model.assemble([Sample((FOX, tiny.aim(Segment("image", SHOWN[0]))), "draw")])
        layout, ids = assembly.layout, assembly.ids[0].tolist()
        assert layout.modality[0].tolist() == [0] * 5 + [1] * 7 + [0] * 2
        assert layout.order[0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 8, 9, 10]
        assert [ids[4], ids[12]] == [BOI, EOI]
        text = next(scored for scored in assembly.scored if scored.head == "text")
        assert text.places[text.prepared.score_mask].tolist() == [3, 12]  # the begin marker from the last word

    def test_what_is_learned_decides_the_drawing_and_nothing_else(self):
        model = model_of("queries")
        before = sums(model, samples()[:4])
        with torch.no_grad():
            model.queries["image_queries"].weight.add_(1.0)
        after = sums(model, samples()[:4])
        assert not torch.allclose(before["image"], after["image"], rtol=1e-5)
        named = [sample for sample in samples()[:4] if sample.task != "draw"]
        changed = sums(model, named)
        with torch.no_grad():
            model.queries["image_queries"].weight.sub_(1.0)
        assert torch.equal(changed["text"], sums(model, named)["text"])


class TestDual:
    def test_a_task_reads_through_its_own_encoder_alone(self):
        model = model_of("dual_switched")
        named = [sample for sample in samples() if sample.task in ("name", "ask")]
        model.tokenizer("image").encode = None
        assert sums(model, named)["text"].isfinite().all()
        model = model_of("dual_switched")
        model.tokenizer("semantic").encode = None
        shown = Sample((Segment("image", SHOWN[0]), FOX, tiny.aim(Segment("image", SHOWN[1]))), "draw")
        assert sums(model, [shown])["image"].isfinite().all()

    def test_both_readings_stand_between_one_pair_of_markers(self):
        model = model_of("dual_concatenated")
        assembly = model.assemble([Sample((Segment("image", SHOWN[0]), tiny.aim(YES)), "name")])
        assert assembly.layout.modality[0].tolist() == [0] * 2 + [1] * 20 + [0] * 3
        assert [len(set(assembly.layout.span[0, k].tolist())) for k in (slice(2, 18), slice(18, 22))] == [1, 1]
        assert [assembly.ids[0, 1], assembly.ids[0, 22]] == [BOI, EOI]

    def test_what_is_dropped_is_one_token_whatever_the_readings(self):
        model = model_of("dual_concatenated", condition_dropout={"image": 1.0})
        sample = Sample((Segment("image", SHOWN[0]), FOX, tiny.aim(Segment("image", SHOWN[1]))), "edit")
        assembly = model.assemble([sample], training=True)
        assert assembly.ids[0, :2].tolist() == [BOS, NULL["image"]]
        assert assembly.layout.modality[0].tolist() == [0] * 6 + [1] * 4 + [0] * 2

    def test_semantic_tokens_never_show_what_is_to_be_drawn(self):
        model = model_of("fused")
        drawn = Sample((FOX, tiny.aim(Segment("image", SHOWN[0]))), "draw")
        named = Sample((Segment("image", SHOWN[0]), tiny.aim(FOX)), "name")
        before = [sums(model, [sample]) for sample in (drawn, named)]
        inner = model.tokenizer("semantic").encode
        model.tokenizer("semantic").encode = lambda contents: inner(contents) + 1
        after = [sums(model, [sample]) for sample in (drawn, named)]
        assert torch.equal(before[0]["image"], after[0]["image"])
        assert not torch.allclose(before[1]["text"], after[1]["text"], rtol=1e-5)
        assert model.assemble([named]).layout.shape == model_of("single").assemble([named]).layout.shape
