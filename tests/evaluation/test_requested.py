"""Tasks that give more than a caption: what is found, what stands beside, and what of it is shown."""

from __future__ import annotations

import pytest
import torch

from mmgraph.datasets import shapes
from mmgraph.evaluation import drawing, examples, items, report, requested, sheet, showing
from mmgraph.evaluation.drawing import Drawings
from mmgraph.evaluation.examples import stack
from mmgraph.sequence import Segment
from tests.evaluation.world import Squares

DATA = {"image_size": 16, "num_scenes": 400, "max_objects": 1, "num_colours": 2, "num_shapes": 2, "shades": 3}
SPLITS = {"trained": "train", "unseen": "test"}


@pytest.fixture(scope="module")
def dataset():
    return shapes(8, {"move": 1, "draw": 1, "both": 1, "write": 1, "name": 1}, **DATA)


@pytest.fixture(scope="module")
def training(dataset):
    return examples.captions(dataset, "train")


def test_tasks_that_are_drawn_from_something_given(dataset):
    assert examples.drawing_tasks(dataset, "test") == ["move"]
    assert examples.drawing_tasks(shapes(8, {"draw": 1, "move": 0}, **DATA), "test") == []
    assert examples.drawing_tasks(Squares(), "test") == []


def test_a_request_leaves_out_what_is_to_be_written():
    spelled = shapes(8, {"move": 1}, **DATA, spell_out=True)
    plain = shapes(8, {"move": 1}, **DATA)
    pairs = zip(examples.requests(spelled, "test", "move"), examples.requests(plain, "test", "move"), strict=True)
    for one, other in pairs:
        assert [part.modality for part in one.given] == ["image", "text"]
        assert one.request == other.request
        assert one.request.startswith("the same at the")
        assert one.text == other.text == plain.identity(one.item)
        assert torch.equal(one.shown, other.shown)
        assert not torch.equal(one.shown, one.picture)


def test_the_right_thing_beside_the_given_picture_and_what_words_find(dataset, training):
    asked = examples.requests(dataset, "test", "move")
    right = Drawings(asked, stack(asked, "these"))
    rows = requested.score(right, training, dataset=dataset)
    assert {rows[f"oracle_{name}"]["value"] for name in ("shade", "place", "colour", "shape", "all")} == {1.0}
    assert rows["difference"]["value"] == 0
    copied = {name: row["baselines"]["given_picture"] for name, row in rows.items()}
    assert copied["oracle_shade"] == copied["oracle_colour"] == copied["oracle_shape"] == 1
    assert copied["oracle_place"] == copied["oracle_all"] == 0
    assert copied["difference"] > 1
    told = {name: row["baselines"]["nearest_caption"] for name, row in rows.items() if name != "difference"}
    assert told["oracle_all"] > 0.9, "words say everything but the shade"
    for share in (told["oracle_shade"], rows["oracle_shade"]["chance"]):
        assert share == pytest.approx(1 / 3, abs=0.2)


def test_without_an_oracle_the_difference_is_left(training):
    class Mute(shapes):  # type: ignore[misc, valid-type]
        check = Squares.check

    world = Mute(8, {"move": 1}, **DATA)
    asked = examples.requests(world, "test", "move")[:3]
    drawings = Drawings(asked, stack(asked, "these"), reconstructed=255 - stack(asked, "these"))
    rows = requested.score(drawings, training, dataset=world)
    assert set(rows) == {"difference"}
    assert set(rows["difference"]["baselines"]) == {"given_picture", "reconstruction"}


def test_a_model_draws_what_the_task_gives(dataset, training, monkeypatch):
    seen = []

    def complete(model, samples, **options):
        seen.extend(samples)
        assert options == {"guidance": 1.5, "num_steps": 2, "seed": 7}
        return [sample.segments[0].content for sample in samples]

    monkeypatch.setattr("mmgraph.generation.complete", complete)
    options = {"most": 6, "looked_at": 50, "guidance": 1.5, "num_steps": 2, "seed": 7}
    scores, drawn = requested.measure(object(), dataset, SPLITS, training, **options)
    assert {sample.task for sample in seen} == {"move"}
    assert all(sample.segments[-1] == Segment("image", None, target=True) for sample in seen)
    assert set(scores["move"]) == set(SPLITS)
    assert set(drawn) == {"move.trained", "move.unseen"}
    assert scores["move"]["unseen"]["oracle_place"]["value"] == 0
    assert scores["move"]["unseen"]["oracle_shade"]["value"] == 1
    assert "drawing.move.unseen.oracle_shade" in items.collect(drawn, {}, {})


def test_a_report_shows_what_was_given(dataset, metrics_and_examples, tmp_path):
    asked = examples.requests(dataset, "test", "move")[:2]
    right = Drawings(asked, stack(asked, "these"), section=requested.SECTION)
    rows = requested.score(right, [], dataset=dataset)
    shown = showing.choose({"move.unseen": right}, {})
    assert shown["drawings"]["move.unseen"][0]["given"].startswith("data:image/png")
    metrics = {**metrics_and_examples[0], requested.SECTION: {"move": {"unseen": rows}}}
    text = report.render(tmp_path, metrics, shown)
    assert "Drawing, task move, unseen concepts" in text
    assert 'alt="Given picture"' in text
    assert asked[0].request in text
    assert "Given picture, unchanged" in text
    assert sheet.render(shown["drawings"]).startswith(b"\x89PNG")


def test_drawing_from_captions_is_as_before(dataset, monkeypatch):
    monkeypatch.setattr(
        "mmgraph.generation.draw", lambda model, texts, **options: torch.zeros(len(texts), 3, 16, 16).byte()
    )
    asked = examples.captions(dataset, "test")[:3]
    assert drawing.draw(object(), asked).drawn.shape == (3, 3, 16, 16)
    assert asked[0].request == asked[0].text
    assert asked[0].shown is None
