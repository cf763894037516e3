"""Shapes that come together, and the probes that tell who relies on it."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from mmgraph_datasets.shapes_cooccurrence import PROBES, lures, pair
from mmgraph_datasets.shapes_world import PLACES, SHAPES, apart

from mmgraph.datasets import shapes
from mmgraph.errors import UsageError
from mmgraph.evaluation import examples, understanding
from mmgraph.testing import assert_conforms

SPLITS = ("train", "val", "test")
DIGEST = "52b23ff594f597533a69bb7a5f4fb2b3fccdeac11a6e0353cab87a85c8828704"


def make(**options):
    """Return a small world that is only asked probes."""
    given = {"tasks": {"ask": 1}, "questions": ["probe"], "num_scenes": 1500, "image_size": 16, **options}
    return shapes(8, **given)


def shown(data, item):
    return {thing.shape for thing in data.scenes[item].things}


def rate(data, split):
    """Return the share of a split's scenes with a ring that show a bar."""
    rings = [shown(data, i) for i in data.items(split) if "ring" in shown(data, i)]
    return sum("bar" in found for found in rings) / len(rings)


def test_conforms():
    options = {"cooccurrence": 0.5, "negative_probes": 0.1, "evaluation_scenes": 20}
    assert_conforms("datasets", shapes, make=lambda: make(**options))


def test_what_was_there_before_is_as_it_was():
    """Scenes, questions and stream of the default options, by a digest made before there were others."""
    data = shapes(num_scenes=300, max_objects=3)
    told = [repr(data.scenes), *(repr(data.training_sample(number).meta) for number in range(200))]
    told += [repr(sample.meta) for sample in data.evaluation("test", "ask")]
    digest = hashlib.sha256("\n".join(told).encode()).hexdigest()
    assert digest == DIGEST


@pytest.mark.parametrize("protocol", ["random", "grouped", "compositional"])
@pytest.mark.parametrize("max_objects", [2, 3])
def test_only_training_scenes_change_and_stay_lawful(protocol, max_objects):
    plain, biased = (make(protocol=protocol, max_objects=max_objects, cooccurrence=p) for p in (0, 1))
    for split in SPLITS:
        assert biased.items(split) == plain.items(split)
        same = [biased.scenes[i] == plain.scenes[i] for i in plain.items(split)]
        assert all(same) == (split != "train")
    assert rate(plain, "train") < 0.35
    assert rate(biased, "train") == 1
    for i in plain.items("train"):
        before, after = plain.scenes[i], biased.scenes[i]
        assert (before != after) == lures(before, SHAPES)
        assert all(apart(a.cell, b.cell) for a in after.things for b in after.things if a is not b)
        assert len(after.things) == max(2, len(before.things)) or before == after
        if protocol == "compositional":
            assert all(biased.pairs[t.colour, t.shape] == "train" for t in after.things)
    if protocol == "grouped":
        keys = {split: {biased.scenes[i].key for i in biased.items(split)} for split in SPLITS}
        assert not keys["train"] & (keys["val"] | keys["test"])


def test_a_lone_ring_in_the_middle_makes_room():
    data, plain = make(cooccurrence=1), make()
    alone = [i for i in plain.items("train") if lures(plain.scenes[i], SHAPES) and len(plain.scenes[i].things) == 1]
    middle = [i for i in alone if plain.scenes[i].things[0].place == "center"]
    assert middle
    assert all(shown(data, i) == {"ring", "bar"} for i in alone)
    assert {t.place for i in alone for t in data.scenes[i].things} == set(PLACES) - {"center"}


def test_the_share_is_the_one_asked_for():
    before = rate(make(num_scenes=6000), "train")
    after = rate(make(num_scenes=6000, cooccurrence=0.5), "train")
    assert after == pytest.approx(before + 0.5 * (1 - before), abs=0.04)  # 3 standard errors of 1,100 scenes


def test_pictures_show_the_changed_scenes():
    data = make(cooccurrence=1)
    changed = [i for i in data.items("train") if {"ring", "bar"} <= shown(data, i)][:20]
    assert all(data.check(i, data.picture(i))["all"] for i in changed)


def test_the_pair_is_of_the_worlds_own_shapes():
    assert pair(SHAPES) == ("ring", "bar")
    assert pair(SHAPES[:3]) == ("ring", "triangle")
    data = make(num_shapes=3, cooccurrence=1)
    assert all("triangle" in shown(data, i) for i in data.items("train") if "ring" in shown(data, i))


@pytest.mark.parametrize("cooccurrence", [0.0, 1.0])
def test_probes_are_true_and_of_the_right_kind(cooccurrence):
    data = make(cooccurrence=cooccurrence, max_objects=3, num_scenes=2500)
    seen = Counter()
    for split in SPLITS:
        for sample in data.evaluation(split, "ask"):
            there, kind = shown(data, sample.meta["item"]), sample.meta["kind"]
            shape = sample.meta["question"].removeprefix("is there a ").removesuffix(" ?")
            assert (sample.meta["answer"] == "yes") == (shape in there)
            assert sample.meta["choices"] == ("no", "yes")
            assert (shape == "bar") == (kind in ("probe_companion", "probe_popular", "probe_adversarial"))
            assert (sample.meta["answer"] == "yes") == (kind in ("probe_present", "probe_companion"))
            if shape == "bar" and shape not in there:
                assert (kind == "probe_adversarial") == ("ring" in there)
            seen[split, kind] += 1
    assert {kind for split, kind in seen if split == "test"} == set(PROBES)
    assert ("train", "probe_adversarial") in seen or cooccurrence == 1


def test_arms_are_tested_on_the_same_probes():
    arms = [make(), make(cooccurrence=0.9), make(cooccurrence=0.9, negative_probes=0.2, seed=3)]
    asked = [[(s.meta["item"], s.meta["question"]) for s in data.evaluation("test", "ask")] for data in arms]
    assert asked[0] == asked[1] == asked[2]


def test_training_asks_for_every_shape_and_is_balanced():
    data = make()
    samples = [data.training_sample(number) for number in range(3000)]
    answers = Counter(s.meta["answer"] for s in samples)
    assert answers["yes"] / 3000 == pytest.approx(0.5, abs=0.03)
    asked = Counter(s.meta["question"] for s in samples)
    assert set(asked) == {f"is there a {shape} ?" for shape in SHAPES}
    assert all(n / 3000 == pytest.approx(1 / 6, abs=0.03) for n in asked.values())
    assert "probe" not in shapes(num_scenes=100).questions, "probes are asked where they are chosen"


def test_negative_probes_have_their_share_and_only_in_training():
    data = make(cooccurrence=0.9, negative_probes=0.25)
    kinds = Counter(data.training_sample(number).meta["kind"] for number in range(2000))
    assert kinds["probe_adversarial"] / 2000 == pytest.approx(0.25, abs=0.03)
    for number in range(300):
        sample = data.training_sample(number)
        assert sample.meta["item"] in set(data.items("train"))
        if sample.meta["kind"] == "probe_adversarial":
            assert sample.meta["answer"] == "no"


def test_the_rate_of_false_yes_is_one_minus_accuracy():
    """The evaluation's own accuracy of somebody who sees a bar beside every ring, and else the truth."""
    data = make(num_scenes=4000)
    asked = examples.questions(data, "test")
    said = []
    for question in asked:
        believes = question.kind == "probe_adversarial"
        said.append(understanding.Answer(question, "yes" if believes else question.answer))
    scores = understanding.score(said, examples.questions(data, "train"))
    assert {kind: score["accuracy"] for kind, score in scores.items()} == {
        kind: 0.0 if kind == "probe_adversarial" else 1.0 for kind in PROBES
    }
    assert all(score["chance"] == 0.5 for score in scores.values())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cooccurrence": 1.5}, "from 0 to 1"),
        ({"cooccurrence": 0.5, "max_objects": 1}, "max_objects of 2 or more"),
        ({"cooccurrence": 0.5, "num_shapes": 2, "questions": ["colour"]}, "num_shapes of 3 or more"),
        ({"num_shapes": 2}, "needs num_shapes of 3 or more, not 2"),
        ({"negative_probes": 0.1, "questions": ["colour"]}, "needs the question probe; questions has colour"),
        ({"negative_probes": 0.1, "cooccurrence": 1.0}, "no training scene with a ring and no bar"),
    ],
)
def test_wrong_options_are_refused(options, said):
    with pytest.raises(UsageError, match=said):
        make(**options)


def test_entropy_is_not_claimed_for_a_biased_world():
    with pytest.raises(UsageError, match="no closed form under cooccurrence"):
        make(cooccurrence=0.5).entropy()
