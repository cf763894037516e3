"""Shades that no words tell, and the request for the same thing at another place."""

from __future__ import annotations

import functools
import hashlib
import itertools
import random
from collections import Counter

import pytest
import torch
from mmgraph_datasets.shapes_oracle import read
from mmgraph_datasets.shapes_shades import CHOICES, REQUESTS, SHADES, moved, nearest_shade, request
from mmgraph_datasets.shapes_world import COLOURS, PLACES, render

from mmgraph.datasets import shapes
from mmgraph.errors import UsageError
from mmgraph.testing import assert_conforms

MOVE = {"max_objects": 1, "num_scenes": 150, "image_size": 16, "evaluation_scenes": 12}


def make(**options):
    return shapes(8, {"move": 1}, **{**MOVE, **options})


def digest(data) -> str:
    told = "|".join(repr(scene) for scene in data.scenes)
    texts = "|".join(data.contents("text"))
    return hashlib.sha256(f"{told}|{texts}".encode()).hexdigest()[:16]


def test_one_shade_leaves_the_world_as_it_was():
    """Digests of the worlds before there were shades."""
    assert digest(shapes(num_scenes=300, image_size=16, max_objects=3, world_seed=1)) == "e5f1dde7a0004a16"
    biased = {"cooccurrence": 0.9, "questions": ["probe"], "negative_probes": 0.2}
    assert digest(shapes(num_scenes=300, image_size=16, **biased)) == "0c140ee97eb96c53"


@pytest.mark.parametrize("shades", [2, 3])
def test_a_shade_changes_the_colour_and_nothing_else(shades):
    plain, several = (shapes(num_scenes=400, image_size=16, max_objects=3, shades=number) for number in (1, shades))
    seen = Counter()
    for one, other in zip(plain.scenes, several.scenes, strict=True):
        for a, b in zip(one.things, other.things, strict=True):
            assert [getattr(a, name) for name in ("colour", "shape", "size", "place", "x", "y", "radius")] == [
                getattr(b, name) for name in ("colour", "shape", "size", "place", "x", "y", "radius")
            ]
            assert nearest_shade(b.rgb, shades)[0] == b.colour
            seen[nearest_shade(b.rgb, shades)] += 1
    assert set(seen) == {(colour, shade) for colour in COLOURS for shade in CHOICES[shades]}
    total = Counter()
    for (_, shade), count in seen.items():
        total[shade] += count
    assert all(count / sum(total.values()) == pytest.approx(1 / shades, abs=0.06) for count in total.values())
    assert [plain.identity(item) for item in range(50)] == [several.identity(item) for item in range(50)]
    assert list(plain.contents("text")) == list(several.contents("text"))
    first = several.items("test")[0]
    assert several.check(first, several.picture(first))["shade"]
    assert "shade" not in plain.check(first, plain.picture(first))


def test_shades_are_apart_and_keep_their_colours_name():
    def distance(a, b):
        return sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5

    every = [shade for shades in SHADES.values() for shade in shades]
    assert min(distance(a, b) for a, b in itertools.combinations(every, 2)) > 50
    for colour, shades in SHADES.items():
        for shade in shades:
            others = min(distance(shade, COLOURS[other]) for other in COLOURS if other != colour)
            assert distance(shade, COLOURS[colour]) < others - 10


@pytest.mark.parametrize("size", [16, 24])
def test_the_oracle_reads_every_shade(size):
    data = shapes(num_scenes=120, image_size=size, max_objects=3, shades=3)
    for item, scene in enumerate(data.scenes):
        assert all(data.check(item, render(scene, size)).values()), scene


@pytest.mark.slow
@pytest.mark.parametrize("size", [24, 32])
def test_the_oracle_reads_the_shades_of_two_thousand_scenes(size):
    data = shapes(num_scenes=2000, image_size=size, max_objects=3, shades=3)
    wrong = [i for i, scene in enumerate(data.scenes) if not all(data.check(i, render(scene, size)).values())]
    assert wrong == []


def test_another_shade_is_told_and_is_not_part_of_all():
    data = make(shades=3)
    by_shade = {}
    for item, scene in enumerate(data.scenes):
        (thing,) = scene.things
        by_shade.setdefault((data.identity(item)[:-6], thing.place, nearest_shade(thing.rgb, 3)[1]), item)
    found = 0
    for (name, place, shade), item in by_shade.items():
        other = by_shade.get((name, place, (shade + 1) % 3))
        if other is not None:
            marks = data.check(item, data.picture(other))
            assert marks["all"]
            assert not marks["shade"]
            found += 1
    assert found


def test_conforms():
    assert_conforms("datasets", shapes, make=functools.partial(make, shades=3))
    assert_conforms("datasets", shapes, make=functools.partial(make, spell_out=True))


def test_the_same_thing_is_wanted_at_the_place_that_is_told():
    data = make(shades=3, image_size=24)
    for sample in data.evaluation("test", "move"):
        given, said, wanted = (segment.content for segment in sample.segments)
        assert [segment.target for segment in sample.segments] == [False, False, True]
        (before,), (after,) = read(given), read(wanted)
        assert (before.shape, before.size) == (after.shape, after.size)
        assert nearest_shade(before.rgb, 3) == nearest_shade(after.rgb, 3)
        assert before.place != after.place
        assert said == f"the same at the {after.place}"
        item = sample.meta["item"]
        assert torch.equal(wanted, data.picture(item))
        assert all(data.check(item, wanted).values())
        assert not data.check(item, given)["place"]
        assert sample.meta["caption"] == data.identity(item)
        assert sample.meta["concept"] == data.scenes[sample.key].key


def test_a_moved_thing_is_the_very_same():
    data = make(shades=3)
    for scene in data.scenes[:40]:
        (thing,) = scene.things
        for place, name in enumerate(PLACES):
            (there,) = moved(scene, place).things
            assert (there.place, there.rgb, there.radius) == (name, thing.rgb, thing.radius)
            assert 0 <= there.x - there.radius < there.x + there.radius <= 1
            assert 0 <= there.y - there.radius < there.y + there.radius <= 1
        (back,) = moved(moved(scene, 0), PLACES.index(thing.place)).things
        assert (back.x, back.y) == (pytest.approx(thing.x), pytest.approx(thing.y))


def test_requests_are_worded_in_two_ways_in_training():
    data = make()
    said = {data.training_sample(number).segments[1].content for number in range(400)}
    assert said == set(REQUESTS)
    assert said <= set(data.contents("text"))
    assert not said & set(shapes(num_scenes=150).contents("text"))
    plain = make(paraphrases=False)
    item = plain.items("train")[0]
    assert plain.sample("train", item, "move", random.Random(1)).segments[1].content.startswith("the same at the")
    assert request(0) == "the same at the top left"


def test_a_request_may_be_spelled_out_for_a_tool():
    data = make(spell_out=True)
    sample = data.evaluation("test", "move")[0]
    assert [(s.modality, s.target) for s in sample.segments] == [
        ("image", False), ("text", False), ("text", True), ("image", True),
    ]  # fmt: skip
    assert sample.segments[2].content == data.identity(sample.meta["item"])


def test_one_of_several_things_is_not_moved():
    with pytest.raises(
        UsageError, match="the task move needs scenes of one thing, max_objects of 1; here there may be 2"
    ):
        shapes(8, {"move": 1}, num_scenes=150)
    shapes(8, {"move": 0, "draw": 1}, num_scenes=150)
    with pytest.raises(UsageError, match="shades must be from 1 to 3, not 4"):
        shapes(num_scenes=150, shades=4)
