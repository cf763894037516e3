from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mmgraph.errors import RunError, UsageError
from mmgraph.models.conditions import drop_conditions, without
from mmgraph.processors import clean_and_noised, queries
from mmgraph.randomness import SampleRandom
from mmgraph.sequence import Sample, Segment, Span
from mmgraph.vocabulary import BOI, BOS, EOI, EOS, NULL, SEP
from tests import tiny

PICTURE = torch.zeros(3, tiny.SIZE, tiny.SIZE, dtype=torch.uint8)
FOX, YES = Segment("text", "fox"), Segment("text", "yes")
IMAGE = Segment("image", PICTURE)
HOLE = -9  # a place that vectors fill


def read(model, *segments: Segment, closed: bool = True):
    """Return the assembly of one sample, and its ids with `HOLE` where a picture is."""
    sample = Sample(segments, "any", 3)
    random = SampleRandom(0, [3])
    assembly = model.assembler.assemble([sample], [model.spans(sample, closed)], random, closed=closed)
    ids = torch.where(assembly.layout.modality == 1, HOLE, assembly.ids)[0].tolist()
    return assembly, ids


def words(model, text: str) -> list[int]:
    return model.vocabulary.ids("text", model.tokenizers["text"].encode([text])[0]).tolist()


class TestMarkers:
    def test_draw(self, tiny_model):
        _, ids = read(tiny_model, FOX, tiny.aim(IMAGE))
        assert ids == [BOS, *words(tiny_model, "fox"), BOI, *[HOLE] * 4, EOI, EOS]

    def test_name(self, tiny_model):
        _, ids = read(tiny_model, IMAGE, tiny.aim(FOX))
        assert ids == [BOS, BOI, *[HOLE] * 4, EOI, *words(tiny_model, "fox"), EOS]

    def test_texts_are_kept_apart(self, tiny_model):
        _, ids = read(tiny_model, IMAGE, FOX, tiny.aim(YES))
        assert ids[6:] == [EOI, *words(tiny_model, "fox"), SEP, *words(tiny_model, "yes"), EOS]

    def test_an_empty_text_takes_no_place(self, tiny_model):
        _, ids = read(tiny_model, IMAGE, Segment("text", ""), tiny.aim(YES))
        assert ids[6:] == [EOI, SEP, *words(tiny_model, "yes"), EOS]

    def test_what_is_open_is_left_out(self, tiny_model):
        assert read(tiny_model, FOX, Segment("image", None, True), closed=False)[1] == [
            BOS,
            *words(tiny_model, "fox"),
            BOI,
        ]
        assert read(tiny_model, IMAGE, FOX, Segment("text", None, True), closed=False)[1][-1] == SEP
        assert read(tiny_model, IMAGE, Segment("text", None, True), closed=False)[1][-1] == EOI

    def test_open_and_closed_agree_on_the_prefix(self, tiny_model, tiny_samples):
        for sample in tiny_samples:
            whole, ids = read(tiny_model, *sample.segments)
            opened, start = read(tiny_model, *tiny.opened(sample).segments, closed=False)
            n = len(start)
            assert ids[:n] == start
            for name in ("modality", "position", "order", "span"):
                assert torch.equal(getattr(whole.layout, name)[0, :n], getattr(opened.layout, name)[0]), name


class TestScored:
    def test_words_are_predicted_one_place_earlier(self, tiny_model):
        question, answer = Segment("text", "is it red ?"), Segment("text", "a big fox")
        assembly, ids = read(tiny_model, IMAGE, question, tiny.aim(answer))
        (scored,) = assembly.scored
        assert scored.head == "text"
        places = scored.places[scored.prepared.score_mask].tolist()
        assert [ids[place + 1] for place in places] == [*words(tiny_model, "a big fox"), EOS]
        assert places == list(range(len(ids) - 5, len(ids) - 1))

    def test_a_drawn_image_its_beginning_and_the_end(self, tiny_model):
        assembly, ids = read(tiny_model, FOX, tiny.aim(IMAGE))
        text, image = assembly.scored
        assert [ids[place + 1] for place in text.places[text.prepared.score_mask].tolist()] == [BOI, EOS]
        assert image.places.tolist() == [[i for i, token in enumerate(ids) if token == HOLE]]

    def test_context_is_not_scored(self, tiny_model):
        assembly, _ = read(tiny_model, FOX, IMAGE)
        assert assembly.scored == []

    def test_packed_rows_score_the_same_words(self, make_model, tiny_samples):
        apart = make_model().assemble(tiny_samples)
        packed = make_model(row_length=64).assemble(tiny_samples)
        assert packed.layout.shape[0] < apart.layout.shape[0]
        for one, other in zip(apart.scored, packed.scored, strict=True):
            assert one.head == other.head
            scored = ((apart, one), (packed, other))
            ids = [a.ids.flatten()[s.places + 1][s.prepared.score_mask] for a, s in scored]
            assert sorted(ids[0].tolist()) == sorted(ids[1].tolist())


class TestDraws:
    def test_clean_pictures_are_at_time_one(self, tiny_model, tiny_samples):
        assembly = tiny_model.assemble(tiny_samples)
        drawn = torch.cat([scored.timed for scored in assembly.scored if scored.timed is not None])
        assert len(drawn) == sum(sample.task == "draw" for sample in tiny_samples)
        clean = torch.ones(len(assembly.times), dtype=torch.bool)
        clean[drawn] = False
        assert (assembly.times[clean] == 1).all()
        assert (assembly.times[drawn] < 1).all()

    def test_a_sample_is_noised_alike_alone_and_in_a_batch(self, tiny_model, tiny_samples):
        together = tiny_model.assemble(tiny_samples, seed=5, training=True)
        image = next(scored for scored in together.scored if scored.head == "image")
        drawn = [sample for sample in tiny_samples if sample.task == "draw"]
        for row, sample in enumerate(drawn):
            alone = tiny_model.assemble([sample], seed=5, training=True)
            own = next(scored for scored in alone.scored if scored.head == "image")
            assert torch.equal(own.prepared.inputs[0], image.prepared.inputs[row])
            assert torch.equal(own.prepared.time[0], image.prepared.time[row])

    def test_noise_differs_between_seeds_and_keys(self, tiny_model):
        def time(seed: int, key: int) -> float:
            sample = Sample((FOX, tiny.aim(IMAGE)), "draw", key)
            return float(tiny_model.assemble([sample], seed=seed).times[0])

        assert len({time(seed, key) for seed in range(3) for key in range(3)}) == 9

    def test_a_fixed_time(self, tiny_model, tiny_samples):
        assembly = tiny_model.assemble(tiny_samples, fixed_time=0.25)
        assert sorted(set(assembly.times.tolist())) == [0.25, 1.0]


class TestConditions:
    DRAW = [Span(0, "text", "text"), Span(1, "image", "image", "image", "image", "target")]
    NAME = [Span(0, "image", "image", None, "image"), Span(1, "text", "text", "text", None, "target")]

    def test_one_draw_decides_in_disjoint_ranges(self):
        shares = {"text": 0.25, "image": 0.5}
        both = [Span(0, "image", "image", None, "image"), *self.DRAW]
        assert drop_conditions(both, shares, 0.1)[1].source == "null"
        assert [span.source for span in drop_conditions(both, shares, 0.3)] == ["null", "item", "item"]
        assert drop_conditions(both, shares, 0.8) == both

    def test_only_where_a_picture_is_drawn(self):
        assert drop_conditions(self.NAME, {"text": 1.0, "image": 1.0}, 0.1) == self.NAME

    def test_what_the_sample_itself_produces_is_no_condition(self):
        """Its clean copy and its queries stay; a given picture is one dropped condition, however many its readings."""
        segments = (IMAGE, tiny.aim(IMAGE), tiny.aim(FOX))
        both = ("image", "semantic")
        spans = queries(clean_and_noised(both, continuous=both), 2).expand(segments, "edit", True)
        kept = without(spans, "image")
        assert kept == [replace(spans[0], source="null"), *spans[2:]]
        assert [(span.item, span.source, span.role) for span in kept[1:4]] == [
            (1, "queries", "context"),
            (1, "item", "target"),
            (1, "item", "context"),
        ]

    def test_a_dropped_text_is_one_learned_token(self, tiny_model):
        sample = Sample((Segment("text", "a big red fox"), tiny.aim(IMAGE)), "draw")
        spans = drop_conditions(tiny_model.spans(sample, True), {"text": 1.0}, 0.5)
        assembly = tiny_model.assembler.assemble([sample], [spans], SampleRandom(0, [0]))
        assert assembly.ids[0, :3].tolist() == [BOS, NULL["text"], BOI]

    def test_the_share_that_is_dropped(self, make_model):
        model = make_model(condition_dropout={"text": 0.3})
        samples = [Sample((FOX, tiny.aim(IMAGE)), "draw", key) for key in range(2000)]
        dropped = (model.assemble(samples, training=True).ids == NULL["text"]).any(1)
        assert abs(float(dropped.float().mean()) - 0.3) < 4 * (0.3 * 0.7 / 2000) ** 0.5
        assert not (model.assemble(samples[:50]).ids == NULL["text"]).any()


class TestRefusals:
    def test_pictures_of_two_sizes(self, tiny_model):
        other = Segment("image", torch.zeros(3, 4, 4, dtype=torch.uint8))
        samples = [Sample((image, tiny.aim(FOX)), "name", k) for k, image in enumerate((IMAGE, other))]
        with pytest.raises(UsageError, match=r"'image' reads .* of one shape.*\(3, 4, 4\), \(3, 8, 8\)"):
            tiny_model.assemble(samples)

    def test_a_segment_without_content(self, tiny_model):
        with pytest.raises(RunError, match=r"segment 1 \(image\) of sample 3 has no content"):
            read(tiny_model, FOX, Segment("image", None, True))

    def test_a_row_that_cannot_hold_a_sample(self, make_model, tiny_samples):
        with pytest.raises(ValueError, match="a row holds 8"):
            make_model(row_length=8).assemble(tiny_samples)
