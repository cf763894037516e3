from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from mmgraph import generation
from mmgraph.errors import UsageError
from mmgraph.heads import flow, next_token
from mmgraph.models import Sampling
from mmgraph.sequence import Sample, Segment
from mmgraph.testing.stand_ins import Codes
from mmgraph.tokenizers import bpe, byte, pca
from mmgraph.vocabulary import BOI, EOS
from tests import tiny


def opened(samples: list[Sample], *tasks: str) -> list[Sample]:
    return [tiny.opened(sample) for sample in samples if sample.task in tasks]


def final(steps) -> torch.Tensor:
    *_, last = steps
    return last


def force(model, monkeypatch, *ids: int) -> None:
    """Make the text head say these ids in turn, whatever it reads."""
    said = iter(ids)

    def predict(hidden: torch.Tensor, condition: None = None) -> torch.Tensor:
        logits = torch.zeros(len(hidden), model.vocabulary.size)
        logits[:, next(said)] = 50.0
        return logits

    monkeypatch.setattr(model.heads["text"], "predict", predict)


class TestWrite:
    @pytest.mark.parametrize("tokenizer", [tiny.word, bpe, byte])
    @pytest.mark.parametrize("temperature", [0.0, 1.0])
    def test_the_cache_changes_nothing(self, make_model, tiny_samples, tokenizer, temperature):
        model = make_model(tokenizers={"text": tokenizer(), "image": tiny.patch(tiny.SIZE, 4)}, max_text=96)
        prompts = opened(tiny_samples, "name", "ask")
        assert len({len(sample.segments) for sample in prompts}) == 2  # ragged prompts
        options = {"max_tokens": 12, "temperature": temperature, "may_draw": True}
        cached = generation.write(model, prompts, **options)
        assert cached == generation.write(model, prompts, **options, use_cache=False)
        assert len({text for text, _ in cached}) > 1

    def test_a_text_does_not_depend_on_its_batch(self, tiny_model, tiny_samples):
        prompts = opened(tiny_samples, "name", "ask")
        options = {"max_tokens": 10, "temperature": 1.0, "seed": 4}
        together = generation.write(tiny_model, prompts, **options)
        assert together == [generation.write(tiny_model, [prompt], **options)[0] for prompt in prompts]

    def test_ends_at_the_end_marker(self, tiny_model, tiny_samples, monkeypatch):
        word = tiny_model.vocabulary.ids("text", torch.tensor(1))
        force(tiny_model, monkeypatch, int(word), int(word), EOS, int(word))
        text, drawing = generation.write(tiny_model, opened(tiny_samples, "name")[:1])[0]
        assert text.split() == tiny_model.tokenizers["text"].decode([torch.tensor([1, 1])])[0].split()
        assert not drawing

    def test_only_words_of_the_tokenizer_are_written(self, tiny_model, tiny_samples, monkeypatch):
        # the marker <boi> is the likeliest by far, but a caption may not hold it
        force(tiny_model, monkeypatch, *[BOI] * 5)
        text, drawing = generation.write(tiny_model, opened(tiny_samples, "name")[:1], max_tokens=4)[0]
        assert not drawing
        assert len(text.split()) <= 4

    def test_room(self, make_model, tiny_samples):
        model = make_model(max_text=12)
        prompts = opened(tiny_samples, "name", "ask")
        texts = generation.write(model, prompts, max_tokens=50, temperature=3.0)
        assert max(len(text.split()) for text, _ in texts) <= 12
        with pytest.raises(UsageError, match="the model holds 8: no room to write"):
            generation.write(make_model(max_text=8), prompts)


    @pytest.mark.parametrize("use_cache", [True, False])
    def test_a_watcher_sees_each_token_and_what_else_was_likely(self, tiny_model, tiny_samples, use_cache):
        prompts = opened(tiny_samples, "name", "ask")
        seen: list[tuple[torch.Tensor, torch.Tensor]] = []
        options = {"max_tokens": 6, "use_cache": use_cache}
        texts = generation.write(tiny_model, prompts, watch=lambda *step: seen.append(step), **options)
        assert texts == generation.write(tiny_model, prompts, **options)
        assert 1 <= len(seen) <= 6
        vocabulary = tiny_model.vocabulary
        for ids, probabilities in seen:
            assert probabilities.shape == (len(prompts), vocabulary.size)
            torch.testing.assert_close(probabilities.sum(1), torch.ones(len(prompts)))
            assert not probabilities[:, ~vocabulary.allowed("text", EOS)].any()
            assert torch.equal(ids, probabilities.argmax(1))  # temperature 0
        said = [int(ids[0]) for ids, _ in seen]
        said = said[: said.index(EOS)] if EOS in said else said
        codes = vocabulary.codes("text", torch.tensor(said, dtype=torch.long))
        assert tiny_model.tokenizers["text"].decode([codes])[0] == texts[0][0]

    def test_a_watcher_sees_the_models_own_probabilities_at_any_temperature(self, tiny_model, tiny_samples):
        prompts, seen = opened(tiny_samples, "name")[:1], []
        for temperature in (0.0, 2.0):
            watch = lambda ids, probabilities: seen.append(probabilities)  # noqa: E731
            generation.write(tiny_model, prompts, max_tokens=1, temperature=temperature, watch=watch)
        assert torch.equal(*seen)


    def test_token_by_token(self, tiny_model, tiny_samples):
        prompts = opened(tiny_samples, "name", "ask")
        options = {"max_tokens": 8, "temperature": 1.0, "seed": 4, "may_draw": True}
        steps = list(generation.writing(tiny_model, prompts, **options))
        assert steps[-1] == generation.write(tiny_model, prompts, **options)
        assert len(steps) > 2
        for before, after in pairwise(steps):
            for (shorter, ended), (longer, _) in zip(before, after, strict=True):
                assert longer == shorter if ended else longer.startswith(shorter)
        (alone,) = (list(generation.writing(tiny_model, prompts[1:2], **options)),)
        assert [step[0] for step in alone] == [step[1] for step in steps[: len(alone)]]

    def test_who_has_read_enough_leaves_the_model_as_it_was(self, tiny_model, tiny_samples):
        tiny_model.train()
        steps = generation.writing(tiny_model, opened(tiny_samples, "name"), max_tokens=5)
        next(steps)
        assert torch.zeros(1, requires_grad=True).add(1).requires_grad is True  # gradients are on for the reader
        steps.close()
        assert tiny_model.training


class TestPaint:
    @pytest.mark.parametrize("guidance", [1.0, 2.5])
    @pytest.mark.parametrize("image", [tiny.patch(tiny.SIZE, 4), pca(tiny.SIZE, 4, components=8)])
    def test_the_cache_changes_nothing(self, make_model, tiny_samples, guidance, image):
        model = make_model(tokenizers={"text": tiny.word(), "image": image})
        prompts = opened(tiny_samples, "draw")
        assert len({len(sample.segments[0].content) for sample in prompts}) > 1  # ragged prompts
        options = {"guidance": guidance, "num_steps": 4}
        cached, plain = (
            list(generation.paint(model, prompts, **options, use_cache=use)) for use in (True, False)
        )
        assert len(cached) == len(plain) == 4
        for left, right in zip(cached, plain, strict=True):
            assert left.dtype == torch.uint8
            assert (left.int() - right.int()).abs().max() <= 1

    def test_a_prefix_with_a_picture_and_its_time(self, tiny_model, tiny_samples):
        # a clean picture (time 1) before the one that is drawn: two conditionings in one row
        shown = [sample.segments[0] for sample in tiny_samples if sample.task == "name"]
        prompts = [
            Sample((picture, Segment("text", text), Segment("image", None, True)), "edit", key)
            for key, (picture, text) in enumerate(zip(shown, ("red", "two small ears"), strict=True))
        ]
        options = {"guidance": 1.5, "num_steps": 3}
        cached, plain = (
            final(generation.paint(tiny_model, prompts, **options, use_cache=use)) for use in (True, False)
        )
        assert (cached.int() - plain.int()).abs().max() <= 1

    def test_a_watcher_sees_what_the_model_reads_from_noise_to_data(self, tiny_model, tiny_samples):
        prompts = opened(tiny_samples, "draw")
        seen: list[tuple[torch.Tensor, torch.Tensor]] = []
        options = {"guidance": 2.0, "num_steps": 4, "seed": 3}
        shown = list(generation.paint(tiny_model, prompts, watch=lambda *step: seen.append(step), **options))
        assert torch.equal(shown[-1], final(generation.paint(tiny_model, prompts, **options)))
        tokenizer = tiny_model.tokenizers["image"]
        shape = (len(prompts), tokenizer.num_tokens, tokenizer.token_dim)  # not the copies that guidance reads
        assert [inputs.shape for inputs, _ in seen] == [shape] * 4
        assert [time.tolist() for _, time in seen] == [[step / 4] * len(prompts) for step in range(4)]
        assert abs(float(seen[0][0].std()) - 1) < 0.1

    def test_a_picture_does_not_depend_on_its_batch(self, tiny_model, tiny_samples):
        prompts = opened(tiny_samples, "draw")
        together = final(generation.paint(tiny_model, prompts, num_steps=4, seed=3))
        for row, prompt in enumerate(prompts):
            alone = final(generation.paint(tiny_model, [prompt], num_steps=4, seed=3))
            assert (alone[0].int() - together[row].int()).abs().max() <= 1

    def test_guidance_moves_away_from_the_null_prediction(self, tiny_model, tiny_samples):
        """One Euler step from noise to data shows the prediction itself."""
        prompts = opened(tiny_samples, "draw")

        def predicted(samples: list[Sample], scale: float) -> torch.Tensor:
            shown = []
            tokenizer = tiny_model.tokenizers["image"]
            decode = type(tokenizer).decode
            tokenizer.decode = lambda tokens: shown.append(tokens) or decode(tokenizer, tokens)
            try:
                list(generation.paint(tiny_model, samples, guidance=scale, num_steps=1))
            finally:
                del tokenizer.decode
            return shown[-1]

        given = predicted(prompts, 1.0)
        null = predicted(prompts, 0.0)
        guided = predicted(prompts, 3.0)
        torch.testing.assert_close(guided, null + 3 * (given - null), atol=1e-4, rtol=1e-4)
        other = [Sample((Segment("text", "no"), s.segments[1]), "draw", s.key) for s in prompts]
        torch.testing.assert_close(predicted(other, 0.0), null)  # nothing else tells them apart
        assert not torch.allclose(given, null, atol=1e-2)

    def test_the_seed_and_the_key_decide(self, tiny_model, tiny_samples):
        prompts = opened(tiny_samples, "draw")[:1]
        steps = [generation.paint(tiny_model, prompts, num_steps=2, seed=seed) for seed in (1, 1, 2)]
        first, again, other = map(final, steps)
        assert torch.equal(first, again)
        assert not torch.equal(first, other)

    def test_the_model_is_left_in_its_mode(self, tiny_model, tiny_samples):
        tiny_model.train()
        steps = generation.paint(tiny_model, opened(tiny_samples, "draw"), num_steps=3)
        next(steps)
        steps.close()  # a listener who has seen enough
        assert tiny_model.training
        generation.write(tiny_model, opened(tiny_samples, "name"), max_tokens=2)
        assert tiny_model.training

    def test_guidance_by_name(self, tiny_model, tiny_samples):
        prompts = opened(tiny_samples, "draw")
        one = final(generation.paint(tiny_model, prompts, num_steps=2, guidance=2.0))
        other = final(generation.paint(tiny_model, prompts, num_steps=2, guidance={"text": 2.0}))
        assert torch.equal(one, other)
        with pytest.raises(UsageError, match="guidance on 'graph' is not known"):
            list(generation.paint(tiny_model, prompts, guidance={"graph": 2.0}))

    @pytest.mark.parametrize("use_cache", [True, False])
    def test_each_request_has_its_own_guidance(self, tiny_model, tiny_samples, use_cache):
        prompts = opened(tiny_samples, "draw")
        scales = [1.0, 3.0, {"text": 2.0}, 0.0]
        options = {"num_steps": 3, "use_cache": use_cache}
        together = final(generation.paint(tiny_model, prompts, guidance=scales, **options))
        for row, (prompt, scale) in enumerate(zip(prompts, scales, strict=True)):
            alone = final(generation.paint(tiny_model, [prompt], guidance=scale, **options))
            assert (alone[0].int() - together[row].int()).abs().max() <= 1
        with pytest.raises(UsageError, match="2 guidances are given for 4 samples"):
            list(generation.paint(tiny_model, prompts, guidance=[1.0, 2.0]))

    def test_each_request_may_name_its_sampler(self, make_model, tiny_samples):
        """What a head draws with another sampler is what a head that was made with it draws."""
        name, options = "FlowMatchHeunDiscreteScheduler", {"shift": 2.0}
        model = make_model()
        other = make_model(heads={"text": next_token(), "image": flow(sampler=name, sampler_options=options)})
        other.load_state_dict(model.state_dict())
        prompts = opened(tiny_samples, "draw")
        asked = final(generation.paint(model, prompts, num_steps=3, sampler=name, sampler_options=options))
        assert torch.equal(asked, final(generation.paint(other, prompts, num_steps=3)))
        usual = final(generation.paint(model, prompts, num_steps=3))
        assert not torch.equal(asked, usual)  # and the model goes on as it was
        assert torch.equal(usual, final(generation.paint(other, prompts, num_steps=3, sampler="euler")))
        with pytest.raises(UsageError, match="name one with `sampler`"):
            list(generation.paint(model, prompts, sampler_options=options))
        with pytest.raises(UsageError, match="diffusers has no sampler 'Heun'"):
            list(generation.paint(model, prompts, sampler="Heun"))

    def test_a_model_that_only_writes(self, make_model, tiny_samples):
        model = make_model(heads={"text": next_token()})
        with pytest.raises(UsageError, match="'image'"):
            list(generation.paint(model, opened(tiny_samples, "draw")))


class TestVerbs:
    def test_draw_in_batches(self, tiny_model):
        captions = ["a red fox", "fox", "two small ears"]
        whole = generation.draw(tiny_model, captions, num_steps=3)
        parts = generation.draw(tiny_model, captions, num_steps=3, batch_size=2)
        assert whole.shape == (3, 3, tiny.SIZE, tiny.SIZE)
        assert (whole.int() - parts.int()).abs().max() <= 1

    def test_draw_gives_each_caption_its_guidance_whatever_the_batches(self, tiny_model):
        captions, scales = ["a red fox", "fox", "two small ears"], [1.0, 4.0, 2.0]
        whole = generation.draw(tiny_model, captions, num_steps=3, guidance=scales)
        parts = generation.draw(tiny_model, captions, num_steps=3, guidance=scales, batch_size=2)
        assert (whole.int() - parts.int()).abs().max() <= 1
        with pytest.raises(UsageError, match="2 guidances are given for 3 samples"):
            generation.draw(tiny_model, captions, guidance=scales[:2], batch_size=2)

    def test_name_and_ask_in_batches(self, tiny_model, tiny_samples):
        pictures = torch.stack([s.segments[0].content for s in tiny_samples if s.task != "draw"])
        names = generation.name(tiny_model, pictures)
        assert names == generation.name(tiny_model, pictures, batch_size=3)
        questions = ["is it red ?", "what is it ?", "fox", "no"]
        answers = generation.ask(tiny_model, pictures, questions)
        assert answers == generation.ask(tiny_model, pictures, questions, batch_size=1)
        with pytest.raises(ValueError, match="shorter"):
            generation.ask(tiny_model, pictures, ["which ?"])

    def test_batches_draw_from_streams_of_their_own(self, make_model):
        model = make_model(sampling=Sampling(temperature=1.5))
        pictures = torch.stack(tiny.pictures(1, tiny.SIZE) * 6)
        names = generation.name(model, pictures)
        assert names == generation.name(model, pictures, batch_size=2)
        assert len(set(names)) == 6

    def test_complete_keeps_the_order(self, tiny_model, tiny_samples):
        found = generation.complete(tiny_model, tiny_samples)
        for sample, content in zip(tiny_samples, found, strict=True):
            assert isinstance(content, torch.Tensor if sample.task == "draw" else str)
            alone = generation.complete(tiny_model, [sample])[0]
            if sample.task == "draw":
                assert (alone.int() - content.int()).abs().max() <= 1
            else:
                assert alone == content

    def test_complete_takes_the_options_of_drawing(self, tiny_model, tiny_samples):
        asked = [sample for sample in tiny_samples if sample.task == "draw"]
        captions = [sample.segments[0].content for sample in asked]
        keyed = [replace(sample, key=number) for number, sample in enumerate(asked)]
        options = {"guidance": 3.0, "num_steps": 2, "seed": 5}
        found = torch.stack(generation.complete(tiny_model, keyed, **options))
        assert torch.equal(found, generation.draw(tiny_model, captions, **options))
        apart = torch.stack(generation.complete(tiny_model, keyed, **options, batch_size=1))
        assert (apart.int() - found.int()).abs().max() <= 1

    def test_complete_does_not_look_at_the_answer(self, tiny_model, tiny_samples):
        told = generation.complete(tiny_model, tiny_samples)
        untold = generation.complete(tiny_model, [tiny.opened(sample) for sample in tiny_samples])
        for left, right in zip(told, untold, strict=True):
            assert torch.equal(left, right) if isinstance(left, torch.Tensor) else left == right

    def test_reconstruct_is_the_tokenizer_there_and_back(self, make_model):
        pictures = torch.stack(tiny.pictures(3, tiny.SIZE))
        assert torch.equal(generation.reconstruct(make_model(), pictures), pictures)


class TestInterleave:
    def test_writes_draws_and_writes_again(self, tiny_model, monkeypatch):
        word = int(tiny_model.vocabulary.ids("text", torch.tensor(2)))
        force(tiny_model, monkeypatch, word, BOI, word, word, EOS)
        added = generation.interleave(tiny_model, [Segment("text", "red fox")])
        assert [segment.modality for segment in added] == ["text", "image", "text"]
        assert added[1].content.shape == (3, tiny.SIZE, tiny.SIZE)
        said = tiny_model.tokenizers["text"].decode([torch.tensor([2])])[0]
        assert [added[0].content, added[2].content] == [said, f"{said} {said}"]

    def test_ends_at_once_where_the_model_says_so(self, tiny_model, monkeypatch):
        force(tiny_model, monkeypatch, EOS)
        assert generation.interleave(tiny_model, [Segment("text", "red fox")]) == []

    def test_at_most_so_many(self, tiny_model, monkeypatch):
        force(tiny_model, monkeypatch, *[BOI] * 9)
        added = generation.interleave(tiny_model, [Segment("text", "red fox")], max_segments=3)
        assert [segment.modality for segment in added] == ["image"] * 3
        assert not torch.equal(added[0].content, added[1].content)

    def test_parts_come_as_they_are_made(self, tiny_model, monkeypatch):
        word = int(tiny_model.vocabulary.ids("text", torch.tensor(2)))
        force(tiny_model, monkeypatch, word, word, BOI, word, EOS)
        parts = list(generation.stream(tiny_model, [[Segment("text", "red fox")]], num_steps=3))
        said = tiny_model.tokenizers["text"].decode([torch.tensor([2])])[0]
        assert [(part.number, part.modality, part.done) for part in parts] == [
            *[(0, "text", False)] * 2,
            (0, "text", True),
            *[(1, "image", False)] * 3,
            (1, "image", True),
            (2, "text", False),
            (2, "text", True),
        ]
        assert [part.content for part in parts[:3]] == [said, f"{said} {said}", f"{said} {said}"]
        assert torch.equal(parts[5].content, parts[6].content)
        assert not torch.equal(parts[3].content, parts[5].content)

    def test_prompts_of_other_lengths_go_on_together(self, make_model):
        """Each as if it were alone: its texts, its pictures, its end; the text head draws from the sample's stream."""
        model = make_model(sampling=Sampling(temperature=2.0, guidance=1.5, num_steps=2))
        prompts = [[Segment("text", text)] for text in ("fox", "a big red fox with big ears", "two small ears")]
        shown = Segment("image", tiny.pictures(1, tiny.SIZE)[0])
        prompts.append([shown, Segment("text", "is it red ?")])
        scales = [1.0, 3.0, 1.5, 2.0]
        whole: dict[int, list] = {row: [] for row in range(len(prompts))}
        for part in generation.stream(model, prompts, guidance=scales, max_segments=3, seed=2):
            if part.done:
                assert part.number == len(whole[part.prompt])
                whole[part.prompt].append(part)
        assert {part.modality for parts in whole.values() for part in parts} == {"text", "image"}
        for row, prompt in enumerate(prompts):
            # the place in the list decides the noise, so alone it stands at the same place, after prompts that end
            before = [prompts[0]] * row
            alone = [
                part
                for part in generation.stream(
                    model, [*before, prompt], guidance=[*scales[:1] * row, scales[row]], max_segments=3, seed=2
                )
                if part.done and part.prompt == row
            ]
            assert [part.modality for part in alone] == [part.modality for part in whole[row]]
            for left, right in zip(alone, whole[row], strict=True):
                if left.modality == "text":
                    assert left.content == right.content
                else:
                    assert (left.content.int() - right.content.int()).abs().max() <= 1
        assert list(generation.stream(model, prompts, max_segments=0)) == []
        with pytest.raises(UsageError, match="1 guidances are given for 4 samples"):
            list(generation.stream(model, prompts, guidance=[2.0]))

    def test_after_a_caption_the_model_stands_where_training_taught_it_to_draw(self, make_model):
        """`caption, begin of image` is what a drawing teaches: nothing may come between them."""
        model = make_model(stirred=False)
        caption = Segment("text", "a red fox")
        teach(model, [Sample((caption, tiny.aim(Segment("image", tiny.pictures(1, tiny.SIZE)[0]))), "draw")])
        added = generation.interleave(model, [caption], max_segments=1)
        assert [segment.modality for segment in added] == ["image"]


def teach(model, samples: list[Sample], steps: int = 30) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for step in range(steps):
        batch = [replace(sample, key=len(samples) * step + k) for k, sample in enumerate(samples)]
        found, _ = model.losses(model.assemble(batch, training=True))
        optimizer.zero_grad()
        sum(total / count for total, count in found.values()).backward()
        optimizer.step()


class TestLearned:
    def test_a_model_that_overfits_says_and_draws_what_it_was_taught(self, make_model, tiny_samples):
        model = make_model(stirred=False, dim=48, sampling=Sampling(guidance=1.0, num_steps=8))
        named = [sample for sample in tiny_samples if sample.task != "draw"][:3]
        words = ("fox", "yes", "no")
        drawn = [
            Sample((Segment("text", word), tiny.aim(sample.segments[0])), "draw")
            for sample, word in zip(named, words, strict=True)
        ]
        teach(model, [*named, *drawn, *drawn], 100)
        assert generation.complete(model, named) == [sample.segments[-1].content for sample in named]
        shown = generation.draw(model, words).float()
        true = torch.stack([sample.segments[-1].content for sample in drawn]).float()
        error = (shown[:, None] - true[None]).square().flatten(2).mean(-1)
        assert error.argmin(1).tolist() == [0, 1, 2]
        assert float(error.diagonal().mean()) < 0.2 * float(error.mean())


class TestInTurn:
    """Pictures drawn one code after another."""

    def model(self, make_model):
        return make_model(
            processor=tiny.single(continuous=()),
            tokenizers={"text": tiny.word(), "image": Codes()},
            connectors={},
            heads={"text": next_token(), "image": next_token()},
        )

    def prompts(self) -> list[Sample]:
        return [
            Sample((Segment("text", text), Segment("image", None, target=True)), "draw", key)
            for key, text in enumerate(("fox", "a big red fox with big ears", "two small ears"))
        ]

    @pytest.mark.parametrize("guidance", [1.0, 2.5])
    def test_the_cache_changes_nothing(self, make_model, guidance):
        model = self.model(make_model)
        steps = [
            list(generation.paint(model, self.prompts(), guidance=guidance, seed=3, use_cache=use_cache))
            for use_cache in (True, False)
        ]
        assert len(steps[0]) == 4
        for cached, plain in zip(*steps, strict=True):
            assert torch.equal(cached, plain)
        assert len(steps[0][-1].unique()) > 2

    def test_places_not_drawn_yet_are_grey(self, make_model):
        first, *_, last = generation.paint(self.model(make_model), self.prompts(), seed=3)
        assert torch.equal(first[:, 0, 0, 0], last[:, 0, 0, 0])
        assert (first.flatten(1)[:, 1:] == 128).all()

    def test_probabilities_are_those_of_training(self, make_model):
        """The logits that draw code k are the ones that training scores against it."""
        model = self.model(make_model)
        prompts, seen = self.prompts(), []
        inner = model.heads["image"].predict
        model.heads["image"].predict = lambda *given: seen.append(inner(*given)) or seen[-1]
        *_, tokens = generation.picture_tokens(model, prompts, guidance=1.0, seed=3)
        model.heads["image"].predict = inner
        pictures = model.tokenizers["image"].decode(tokens)
        full = [
            Sample((prompt.segments[0], Segment("image", picture, target=True)), "draw", prompt.key)
            for prompt, picture in zip(prompts, pictures, strict=True)
        ]
        assembly = model.assemble(full)
        hidden = model.run(model.embed(assembly))[0].flatten(0, 1)
        (scored,) = [scored for scored in assembly.scored if scored.head == "image"]
        expected = inner(hidden[scored.places])  # (N, n, V)
        torch.testing.assert_close(torch.stack(seen, 1), expected, atol=1e-4, rtol=1e-4)
