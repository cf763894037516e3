from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from mmgraph_metrics.caption_words import words

from mmgraph.metrics import bleu_4, cider_d, rouge_l
from mmgraph.testing import assert_conforms

# (references, caption); values of the captioning benchmark's own code on these, computed once
PICTURES = (
    (
        ("a man rides a wave on a surfboard", "a surfer rides a big wave", "man surfing on a wave in the ocean"),
        "a man rides a big wave on a surfboard",
    ),
    (
        ("two dogs play in the snow", "a pair of dogs running through snow", "dogs playing outside in winter"),
        "two dogs run in the snow",
    ),
    (
        ("a red double-decker bus on a street", "the bus is parked on a city street", "a bus in the city"),
        "a red bus is driving down a street",
    ),
    (("a plate of food with rice", "rice and meat on a white plate", "a meal on a plate"), "a cat sleeping on a sofa"),
    (("a clock on a tower", "the clock tower shows half past five", "tall tower with a clock"), "a tower with a clock"),
)
REFERENCES = [references for references, _ in PICTURES]
GIVEN = [caption for _, caption in PICTURES]


def value(metric, given=GIVEN, references=REFERENCES):
    (score,) = metric().compute(given, references).values()
    return score


@pytest.mark.parametrize("metric", [bleu_4, cider_d, rouge_l])
def test_conforms(metric):
    assert_conforms("metrics", metric)


OFFICIAL = {"bleu_4": 0.454300373479009, "cider_d": 2.249834997707554, "rouge_l": 0.7627849210941898}
PER_PICTURE = {
    "cider_d": [3.860193736287709, 1.837339091982586, 1.568639671630139, 0.018509098980897507, 3.964493389656438],
    "rouge_l": [0.9512670565302144, 0.8333333333333334, 0.6747787610619468, 0.5545454545454546, 0.8],
}


@pytest.mark.parametrize("metric", [bleu_4, cider_d, rouge_l])
def test_equals_the_benchmarks_code(metric):
    score = value(metric)
    assert score.value == pytest.approx(OFFICIAL[metric.name], abs=1e-8)
    if metric.name in PER_PICTURE:
        assert score.per_picture is not None
        assert score.per_picture.tolist() == pytest.approx(PER_PICTURE[metric.name], abs=1e-12)


def test_cider_by_the_formula_for_single_words():
    given, references = ["red fox"] * 2, [["red fox"], ["blue bird"]]
    score = cider_d().compute(given, references)["cider_d"]
    # of the first picture every word is as rare as can be, and all runs there are agree: 1 and 2 words of 4 lengths
    assert score.per_picture is not None
    assert score.per_picture.tolist() == pytest.approx([10 * 2 / 4, 0.0])


def test_cider_punishes_a_length_that_differs_and_repeated_words():
    references = [["a small red fox runs"], ["two birds sing"], ["the sea"]]
    rest = ["two birds sing", "the sea"]

    def first(text):
        return float(cider_d().compute([text, *rest], references)["cider_d"].per_picture[0])

    right, repeated = first("a small red fox runs"), first("a small red fox runs fox fox fox")
    assert right == pytest.approx(10.0)
    assert repeated < right * math.exp(-(3**2) / (2 * 6**2)) + 1e-9


def test_a_sample_of_another_size_gives_another_cider():
    few, many = (value(cider_d, GIVEN[:n], REFERENCES[:n]).value for n in (3, 5))
    assert few != pytest.approx(many, abs=1e-3)
    assert cider_d().compute(GIVEN[:1], REFERENCES[:1]) == {}


def test_bleu_by_hand():
    # 7 words, all right; runs of 2, 3, 4: 6 of 6, 5 of 5, 4 of 4; reference of 10 words: brevity e^(1 - 10/7)
    reference = "one two three four five six seven eight nine ten"
    score = value(bleu_4, ["one two three four five six seven"], [[reference]])
    assert score.value == pytest.approx(math.exp(1 - 10 / 7))


def test_bleu_counts_a_word_as_often_as_a_reference_has_it():
    score = value(bleu_4, ["the the the the the"], [["the cat is on the mat", "there is a cat on the mat"]])
    assert score.value == 0.0
    ones = Counter(words("the the the the the")) & Counter(words("the cat is on the mat"))
    assert ones["the"] == 2


def test_bleu_of_resamples_is_bleu_of_the_captions_drawn():
    score = value(bleu_4)
    assert score.resampled is not None
    drawn = [0, 0, 2, 4, 1]
    counts = torch.bincount(torch.tensor(drawn), minlength=5)[None]
    again = value(bleu_4, [GIVEN[i] for i in drawn], [REFERENCES[i] for i in drawn])
    assert float(score.resampled(counts)) == pytest.approx(again.value)


def test_rouge_by_hand():
    # in common in this order: police the gunman: 3 of 4 words of one reference, of 4 of the caption
    score = value(rouge_l, ["police kill the gunman"], [["police killed the gunman"]])
    assert score.value == pytest.approx(3 / 4)
    score = value(rouge_l, ["a b c d e"], [["a c e"]])
    p, r, b = 3 / 5, 1.0, 1.2**2
    assert score.value == pytest.approx((1 + b) * p * r / (r + b * p))


@pytest.mark.parametrize(
    ("caption", "cut"),
    [
        # as Stanford's PTBTokenizer with -lowerCase cuts them, its punctuation dropped
        ("A man riding a wave on top of a surfboard.", "a man riding a wave on top of a surfboard"),
        ("Two dogs don't want to share their toy!", "two dogs do n't want to share their toy"),
        ("The cat can't reach the shelf; it's too high.", "the cat ca n't reach the shelf it 's too high"),
        ("A woman's hand holds a slice of pizza, half-eaten.", "a woman 's hand holds a slice of pizza half-eaten"),
        ("a boys' bathroom", "a boys bathroom"),
        ('A "STOP" sign at the corner of 5th Ave. and Main St.', "a stop sign at the corner of 5th ave. and main st."),
        ("A clock that says 5:30 p.m. on the wall.", "a clock that says 5:30 p.m. on the wall"),
        ("A T-shirt with the U.S. flag on it", "a t-shirt with the u.s. flag on it"),
        ("A 3.5-inch disk, 1/2 full, and a $5.00 bill", "a 3.5-inch disk 1/2 full and a $ 5.00 bill"),
        ("people are gonna play frisbee... outside", "people are gon na play frisbee outside"),
        ("A cow that cannot stand.", "a cow that can not stand"),
        ("It is 50% off at Macy's", "it is 50 % off at macy 's"),
        ("He's been where they've been, and I'd go", "he 's been where they 've been and i 'd go"),
        ("a No. 7 train at the station #7", "a no. 7 train at the station # 7"),
        ("A room with a couch/bed and a t.v.", "a room with a couch/bed and a t.v."),
        ("rice & beans -- and a drink", "rice & beans and a drink"),
        ("", ""),
    ],
)
def test_captions_are_cut_as_the_benchmarks_cut_them(caption, cut):
    assert list(words(caption)) == cut.split()
