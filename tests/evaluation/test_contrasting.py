from __future__ import annotations

import pytest
import torch

from mmgraph.evaluation import contrasting
from mmgraph.evaluation.examples import Caption, Question


class Oracle:
    """Pictures are one number; a text says which it means. `blind` pictures all look the same."""

    def __init__(self, *, blind: bool = False) -> None:
        self.blind = blind

    def embed_pictures(self, pictures):
        angle = pictures.flatten(1)[:, 0].float() / 100
        return self._unit(torch.zeros_like(angle) if self.blind else angle)

    def embed_texts(self, texts):
        return self._unit(torch.tensor([int(text.split()[-1]) / 100 for text in texts]))

    def _unit(self, angle):
        return torch.stack((angle.cos(), angle.sin()), dim=1)


def picture(number: int) -> torch.Tensor:
    return torch.full((1, 2, 2), number, dtype=torch.uint8)


def captions(numbers) -> list[Caption]:
    return [Caption(f"number {n}", picture(n), str(n)) for n in numbers]


def questions(numbers, kind="size") -> list[Question]:
    return [
        Question(kind, "how large ?", picture(n), "large" if n > 50 else "small", ("large", "small"), str(n))
        for n in numbers
    ]


class TestRetrieval:
    def test_a_model_that_knows_finds_all(self):
        found = contrasting.retrieval(Oracle(), captions(range(0, 100, 5)))
        assert {name: entry["accuracy"] for name, entry in found.items()} == {
            "picture_to_text_at_1": 1.0,
            "picture_to_text_at_10": 1.0,
            "text_to_picture_at_1": 1.0,
            "text_to_picture_at_10": 1.0,
        }
        assert found["text_to_picture_at_10"]["chance"] == 0.5

    def test_equal_captions_are_one_candidate_and_any_of_their_pictures_is_right(self):
        known = [*captions([10, 40, 70]), Caption("number 70", picture(72), "70")]
        found = contrasting.retrieval(Oracle(), known)
        assert found["picture_to_text_at_1"]["n"] == 4
        assert found["picture_to_text_at_1"]["chance"] == pytest.approx(1 / 3)
        assert found["text_to_picture_at_1"]["n"] == 3
        assert found["text_to_picture_at_1"]["accuracy"] == 1.0

    def test_a_wrong_neighbour_costs_one(self):
        known = [*captions([10, 40]), Caption("number 70", picture(41), "70")]
        found = contrasting.retrieval(Oracle(), known)
        assert found["picture_to_text_at_1"]["accuracy"] == pytest.approx(2 / 3)


class TestZeroShot:
    def test_classes_are_the_mean_of_their_training_captions(self):
        training = range(0, 100, 10)
        answers = contrasting.zero_shot(Oracle(), questions([5, 95]), questions(training), captions(training))
        assert [answer.given for answer in answers] == ["small", "large"]

    def test_a_blind_model_says_one_thing(self):
        training, held_out = range(0, 100, 10), range(5, 100, 10)
        scores = contrasting.measure(
            Oracle(blind=True),
            {"unseen": captions(held_out)},
            {"unseen": questions(held_out), "trained": questions(training)},
            captions(training),
            candidates=5,
        )["unseen"]
        assert scores["zero_shot_size"]["accuracy"] == 0.5
        assert scores["zero_shot_size"]["majority"] in (0.4, 0.5, 0.6)
        assert scores["picture_to_text_at_1"]["n"] == 5

    def test_yes_and_no_are_no_classes(self):
        asked = [Question("is", "?", picture(n), ("no", "yes")[n > 50], (), str(n)) for n in range(0, 100, 10)]
        assert contrasting.zero_shot(Oracle(), asked, asked, captions(range(0, 100, 10))) == []
