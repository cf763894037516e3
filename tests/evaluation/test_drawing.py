from __future__ import annotations

import math

import pytest
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio

from mmgraph import generation
from mmgraph.errors import RunError
from mmgraph.evaluation import drawing
from mmgraph.evaluation.drawing import Drawings, nearest_captions, psnr
from mmgraph.evaluation.examples import Caption
from mmgraph.metrics import Meaning, PictureMetric, Score
from mmgraph.testing.stand_ins import pictures


def captions(count, *, seed=0):
    shown = pictures(count, 16, seed=seed)
    return [Caption(f"picture {n} of {seed}", picture, f"{seed}:{n}") for n, picture in enumerate(shown)]


class Brightness(PictureMetric):
    """Mean brightness of what was drawn; real pictures of its own kind stand beside it."""

    name = "brightness"
    meanings = {"brightness": Meaning("Brightness", "How bright.", "higher")}
    real = "same"

    def compute(self, drawn, true, train, *, generator):
        values = drawn.pixels.mean(1)
        return {"brightness": Score(float(values.mean()), len(drawn), per_picture=values)}


class OtherBrightness(Brightness):
    real = "other"


def test_the_caption_with_the_rarest_shared_words_is_nearest():
    known = ["man with red hat", "woman with hat", "a red fox", "man with cake"]
    assert nearest_captions(["fox with wings", "woman cooking", "RED fox!"], known) == [2, 1, 2]


def test_captions_that_share_nothing_do_not_all_get_the_same_picture():
    known = [f"word{n}" for n in range(50)]
    found = nearest_captions([f"unknown{n}" for n in range(60)], known)
    assert len(set(found)) > 20
    assert found == nearest_captions([f"unknown{n}" for n in range(60)], known)


def test_peak_signal_to_noise_ratio_equals_torchmetrics_and_is_finite_for_copies():
    shown, other = torch.stack(pictures(4, 16)), torch.stack(pictures(4, 16, seed=1))
    reference = peak_signal_noise_ratio(shown / 255, other / 255, data_range=1.0, reduction="none", dim=(1, 2, 3))
    assert torch.allclose(psnr(shown, other), reference, atol=1e-4)
    assert psnr(shown, shown).tolist() == [100.0] * 4


def test_each_baseline_is_the_metric_of_the_pictures_it_names():
    training, asked = captions(30, seed=1), captions(6, seed=2)
    reconstructed = torch.stack([caption.picture // 2 for caption in asked])
    drawings = Drawings(asked, torch.stack(pictures(6, 16, seed=3)), reconstructed)
    row = drawing.score(drawings, training, [Brightness()])["brightness"]

    def brightness(shown):
        return float((torch.stack(list(shown)).float() / 255).mean())

    likest = nearest_captions([caption.text for caption in asked], [caption.text for caption in training])
    expected = {
        "nearest_caption": brightness(training[place].picture for place in likest),
        "mean_picture": brightness(caption.picture for caption in training),
        "real": brightness(caption.picture for caption in asked),
        "reconstruction": brightness(reconstructed),
    }
    assert row["baselines"] == pytest.approx(expected, abs=1e-3)
    assert row["value"] == pytest.approx(brightness(drawings.drawn))
    assert row["ci95"][0] < row["value"] < row["ci95"][1]
    means = drawings.drawn.flatten(1).float().mean(1) / 255
    assert torch.allclose(drawings.per_picture["brightness"], means)


def test_other_real_pictures_are_never_the_true_ones():
    training = captions(30, seed=1)
    asked = training[:28]
    drawings = Drawings(asked, torch.stack([caption.picture for caption in asked]))
    row = drawing.score(drawings, training, [OtherBrightness()])["brightness"]
    others = torch.stack([caption.picture for caption in training[28:]]).float() / 255
    assert row["baselines"]["real"] == pytest.approx(float(others.mean()), abs=1e-5)


def test_without_training_pictures_there_are_no_baselines_of_them():
    asked = captions(5)
    drawings = Drawings(asked, torch.stack(pictures(5, 16, seed=3)))
    assert set(drawing.score(drawings, [], [Brightness()])["brightness"]["baselines"]) == {"real"}


def test_the_tokenizer_alone_is_measured_like_a_drawing():
    asked = captions(5)
    assert drawing.reconstruction(Drawings(asked, torch.stack(pictures(5, 16))), asked, [Brightness()]) == {}
    passed = Drawings(asked, torch.stack(pictures(5, 16)), torch.stack([c.picture for c in asked]))
    found = drawing.reconstruction(passed, captions(8, seed=4), [Brightness()])
    assert found["psnr"]["value"] == 100
    assert found["psnr"]["baselines"]["mean_picture"] < 30
    assert set(found["brightness"]["baselines"]) == {"mean_picture", "real"}


def test_an_interval_that_cannot_be_computed_is_none():
    row = drawing.entry(Score(1.0, 2, resampled=lambda counts: counts[:, 0] * math.nan), ["a", "b"], 0)
    assert row["ci95"] is None


def test_a_model_that_draws_another_size_is_refused(monkeypatch):
    monkeypatch.setattr(
        generation,
        "draw",
        lambda model, texts, **options: torch.zeros(len(texts), 3, 8, 8, dtype=torch.uint8),
    )
    with pytest.raises(RunError, match=r"\(3, 8, 8\).*\(3, 16, 16\)"):
        drawing.draw(None, captions(2))
