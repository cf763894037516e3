from __future__ import annotations

import shlex

import pytest
import torch
from PIL import Image

from mmgraph import generation, models
from mmgraph.cli import main
from mmgraph.demo import pixels
from mmgraph.demo.requests import DrawRequest, TellRequest
from mmgraph.demo.studio import Studio
from mmgraph.errors import UsageError
from mmgraph.heads import Head, Prepared, next_token
from mmgraph.testing.stand_ins import Codes, pictures
from mmgraph.tokenizers import byte
from tests import tiny


def told(work, *arguments) -> list[dict]:
    events: list[dict] = []
    work(*arguments, events.append)
    return events


class TestDraw:
    def test_every_step_is_told_and_the_last_is_what_generate_draws(self, studio):
        request = DrawRequest("a red fox", guidance=1.5, steps=4, seed=3, count=2)
        *steps, done = told(studio.draw, request)
        assert [event["event"] for event in steps] == ["step"] * 4
        assert [event["step"] for event in steps] == [1, 2, 3, 4]
        assert [event["time"] for event in steps] == [0, 0.25, 0.5, 0.75]
        expected = generation.draw(studio.model, ["a red fox"] * 2, guidance=1.5, num_steps=4, seed=3)
        row = torch.cat(list(expected), dim=2)  # (3, H, 2 W)
        assert torch.equal(pixels.unstrip(steps[-1]["pictures"]), row)
        assert done["event"] == "done"

    def test_what_the_model_read_goes_from_noise_to_the_data(self, studio):
        *steps, _ = told(studio.draw, DrawRequest("a red fox", steps=8))
        final = pixels.unstrip(steps[-1]["pictures"]).float()
        distance = [float((pixels.unstrip(step["read"]).float() - final).square().mean()) for step in steps]
        assert distance == sorted(distance, reverse=True)
        assert distance[-1] < 0.1 * distance[0]

    def test_the_command_draws_the_same(self, tiny_model, tmp_path, monkeypatch, capsys):
        folder = models.save(tiny_model, tmp_path / "tiny run")
        studio = Studio(models.load(folder), str(folder))
        *steps, done = told(studio.draw, DrawRequest("two small ears", guidance=2.5, steps=3, seed=5, count=2))
        monkeypatch.chdir(tmp_path)
        program, *arguments = shlex.split(done["command"])
        assert program == "mmgraph"
        assert main(arguments) == 0, capsys.readouterr().err
        with Image.open("generated.png") as image:
            small = image.resize((image.width // 4, image.height // 4), Image.Resampling.NEAREST)
        assert torch.equal(pixels.unstrip(steps[-1]["pictures"]), pixels.from_image(small))

    def test_a_head_without_time_has_steps_all_the_same(self, make_model):
        model = make_model(
            processor=tiny.single(continuous=()),
            tokenizers={"text": tiny.word(), "image": Codes()},
            connectors={},
            heads={"text": next_token(), "image": Parallel()},
        )
        *steps, done = told(Studio(model, "x").draw, DrawRequest("a red fox", steps=3, guidance=1.0))
        assert [(event["time"], event["read"]) for event in steps] == [(None, None)] * 3
        assert done["event"] == "done"

    def test_a_listener_who_leaves_stops_it(self, studio):
        studio.model.train()
        seen = []

        def tell(event):
            seen.append(event)
            if len(seen) == 2:
                raise InterruptedError

        with pytest.raises(InterruptedError):
            studio.draw(DrawRequest("a red fox", steps=50), tell)
        assert len(seen) == 2
        assert studio.model.training

    def test_unknown_words_are_named(self, studio):
        unknown, *_ = told(studio.draw, DrawRequest("a red foxx , zebra", steps=1))
        assert unknown["event"] == "unknown"
        assert [word["word"] for word in unknown["words"]] == ["foxx", ",", "zebra"]
        assert unknown["words"][0]["similar"] == ["fox"]
        assert unknown["words"][0]["read_as"] == "<unk>"


class Parallel(Head):
    """Guesses all codes at each step."""

    discrete, order, timed, shift = True, "full", False, 0

    def build(self, tokenizer, vocabulary, dim, condition_dim):
        self._vocabulary = (vocabulary,)

    def predict(self, hidden, condition=None):
        return self._vocabulary[0].logits(hidden)

    def prepare(self, tokens, *, random, time=None, noise=None):
        return Prepared(tokens, tokens, torch.ones_like(tokens, dtype=torch.bool))

    def loss(self, hidden, prepared, condition=None):
        raise NotImplementedError

    def sample(self, run, shape, *, num_steps, random, temperature=1.0):
        ids = torch.zeros(shape, dtype=torch.long)
        for _ in range(num_steps):
            ids = run(ids, None).argmax(-1)
            yield ids


class TestTell:
    def test_the_tokens_spell_what_ask_and_name_say(self, studio):
        tiny.perplexing(studio.model)
        for picture in pictures(3, tiny.SIZE):
            png = pixels.strip(picture[None])
            for question in (None, "is it red ?"):
                *tokens, done = told(studio.tell_about, TellRequest(png, question))
                expected = (
                    generation.name(studio.model, picture[None])
                    if question is None
                    else generation.ask(studio.model, picture[None], [question])
                )
                assert done["text"] == expected[0]
                assert " ".join(token["text"] for token in tokens if not token["end"]) == expected[0]
                certainty = torch.tensor([token["probability"] for token in tokens]).prod()
                assert done["probability"] == pytest.approx(float(certainty), rel=1e-3, abs=2e-6)

    def test_alternatives_are_ranked_and_the_likeliest_is_written(self, studio):
        *tokens, _ = told(studio.tell_about, TellRequest(pixels.strip(torch.stack(pictures(1, tiny.SIZE)))))
        for token in tokens:
            given = [other["probability"] for other in token["alternatives"]]
            assert len(given) == 5
            assert given == sorted(given, reverse=True)
            assert 0 < sum(given) <= 1 + 1e-5
            assert token["alternatives"][0] == {name: token[name] for name in ("text", "end", "probability")}

    def test_a_picture_of_any_size_is_seen_as_the_model_reads(self, studio):
        png = pixels.strip(torch.zeros(1, 3, 20, 40, dtype=torch.uint8))
        assert told(studio.tell_about, TellRequest(png))[-1]["event"] == "done"
        seen = studio.view(pixels.unstrip(png))
        assert seen.shape == (3, tiny.SIZE, tiny.SIZE)
        assert bool((seen[:, [0, -1]] == 255).all())

    def test_one_channel(self, make_model):
        model = make_model(tokenizers={"text": tiny.word(), "image": tiny.patch(tiny.SIZE, 4, channels=1)})
        studio = Studio(model, "x")
        assert studio.view(pictures(1, 20)[0]).shape == (1, tiny.SIZE, tiny.SIZE)
        *steps, _ = told(studio.draw, DrawRequest("fox", steps=2))
        assert told(studio.tell_about, TellRequest(steps[-1]["pictures"]))[-1]["event"] == "done"


class TestWhatItCan:
    def test_all_three(self, studio):
        assert [studio.refusal(task) for task in ("draw", "name", "ask")] == [None, None, None]

    def test_a_model_that_only_writes(self, make_model):
        studio = Studio(make_model(heads={"text": next_token()}), "x")
        assert "'image'" in str(studio.refusal("draw"))
        assert studio.refusal("name") is None

    def test_a_model_of_another_kind(self):
        with pytest.raises(UsageError, match=r"the Linear of zoo:ae neither .*UnifiedModel"):
            Studio(torch.nn.Linear(1, 1), "zoo:ae")

    def test_words_are_listed_where_texts_are_words(self, studio, make_model):
        assert {"fox", "red", "ears"} <= set(studio.words.shown)
        assert "<unk>" not in studio.words.shown
        assert studio.words.unknown("A Red, fox ?") == [{"word": "Red,", "read_as": "red <unk>", "similar": ["red"]}]
        spelled = Studio(make_model(tokenizers={"text": byte(), "image": tiny.patch(tiny.SIZE, 4)}), "x").words
        assert spelled.shown == []
        assert spelled.unknown("zebra 東京") == []
