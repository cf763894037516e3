from __future__ import annotations

import functools
import itertools
import math
import random
from collections import Counter, defaultdict

import numpy
import pytest
import torch
from mmgraph_datasets.shapes_grammar import _relation_entropy, ask, canonical, caption, caption_entropy, forms
from mmgraph_datasets.shapes_oracle import ATTRIBUTES, agreement, check, read
from mmgraph_datasets.shapes_world import (
    COLOURS,
    PLACES,
    SHAPES,
    Scene,
    Thing,
    coverage,
    layouts,
    relations,
    render,
    scene,
)

from mmgraph.datasets import shapes
from mmgraph.errors import UsageError
from mmgraph.testing import assert_conforms


@pytest.fixture(scope="module")
def world():
    return shapes(num_scenes=1500, image_size=16, max_objects=3)


def thing(words, x=None, y=None):
    """Return the thing of words such as `small red square top left`."""
    size, colour, shape, place = words.split(maxsplit=3)
    row, column = divmod(PLACES.index(place), 3)
    at = (0.23, 0.5, 0.77)
    return Thing(colour, shape, size, place, at[column], at[row], {"small": 0.13, "large": 0.19}[size], COLOURS[colour])


def noisy(picture, sd, seed):
    generator = torch.Generator().manual_seed(seed)
    return (picture + sd * torch.randn(picture.shape, generator=generator)).round().clamp(0, 255).to(torch.uint8)


def test_conforms():
    assert_conforms("datasets", shapes, make=lambda: shapes(8, num_scenes=150, image_size=16, evaluation_scenes=20))


def test_writing_is_a_task_only_where_it_is_asked_for():
    assert "write" not in shapes(num_scenes=150).tasks
    data = shapes(8, {"write": 1}, num_scenes=150, evaluation_scenes=20)
    assert_conforms("datasets", shapes, make=lambda: shapes(8, {"write": 1}, num_scenes=150, evaluation_scenes=20))
    (segment,) = data.training_sample(0).segments
    assert (segment.modality, segment.target) == ("text", True)
    told = [sample.segments[0].content for sample in data.evaluation("val", "write")]
    canon = [data.identity(sample.meta["item"]) for sample in data.evaluation("val", "write")]
    assert told != canon, "captions alone should be worded as in training, or `entropy` is not their floor"
    plain = shapes(8, {"write": 1}, num_scenes=150, paraphrases=False)
    item = plain.items("train")[0]
    assert plain.sample("train", item, "write", random.Random(0)).segments[0].content == plain.identity(item)


# -- world and renderer ------------------------------------------------------------------------------------


def test_a_scene_is_a_function_of_world_and_number():
    assert scene(3, 17) == scene(3, 17)
    assert len({scene(3, i) for i in range(50)} | {scene(4, i) for i in range(50)}) == 100


def test_things_of_a_scene_never_touch():
    for number in range(300):
        boxes = [
            (t.x - t.radius, t.x + t.radius, t.y - t.radius, t.y + t.radius)
            for t in scene(0, number, max_objects=3).things
        ]
        assert all(0 <= edge <= 1 for box in boxes for edge in box)
        for a, b in itertools.combinations(boxes, 2):
            gaps = a[0] - b[1], b[0] - a[1], a[2] - b[3], b[2] - a[3]
            assert max(gaps) > 1.5 / 16


def test_layouts_are_all_and_only_places_apart():
    assert [len(layouts(n)) for n in (1, 2, 3)] == [9, 32, 48]
    assert (0, 1) not in layouts(2)
    assert (0, 2) in layouts(2)


def test_renderer_agrees_with_areas():
    areas = {"square": 4, "ring": 0.7 * math.pi, "triangle": 2, "bar": 1.6}
    for shape, area in areas.items():
        share = coverage(shape, 16.3, 15.8, 10.0, 32, 32, 8)
        assert share.sum() == pytest.approx(area * 100, rel=0.02)


def test_edges_are_mixed_and_insides_are_the_colour():
    square = thing("large blue square center")
    picture = render(Scene((square,)), 20)
    assert tuple(picture[:, 10, 10].tolist()) == square.rgb
    assert tuple(picture[:, 0, 0].tolist()) == (255, 255, 255)
    # the box ends at (0.5 - 0.19) * 20 = 6.2: pixel 6 is covered by 0.8 (of 8 samples, 6 or 7)
    mixed = (255 - int(picture[0, 10, 6])) / (255 - square.rgb[0])
    assert 0.7 < mixed < 0.9


def test_shapes_differ_clearly_when_small_at_16_px():
    """At the best alignment and size, a template of another shape leaves a tenth of the ink unexplained."""
    grid = numpy.linspace(-0.5, 0.5, 5)
    table = {
        shape: numpy.stack(
            [
                coverage(shape, 5.5 + x, 5.5 + y, r, 11, 11, 8).ravel()
                for r in numpy.linspace(1.7, 2.6, 7)
                for x in grid
                for y in grid
            ]
        )
        for shape in SHAPES
    }
    unit = {shape: t / numpy.linalg.norm(t, axis=1, keepdims=True) for shape, t in table.items()}
    for a, b in itertools.permutations(SHAPES, 2):
        small = unit[a][75:100]  # radius 2.15 px
        assert ((small @ unit[b].T).max(1) ** 2).max() < 0.92, (a, b)


# -- oracle -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [16, 24, 32, 64])
def test_oracle_is_exact_on_clean_renders(size):
    scenes = [scene(5, i, max_objects=3) for i in range(200)]
    found = agreement([render(s, size) for s in scenes], scenes)
    assert found == dict.fromkeys((*ATTRIBUTES, "all"), 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("size", [16, 24, 32, 64])
def test_oracle_is_exact_on_two_thousand_clean_renders(size):
    scenes = [scene(6, i, max_objects=3) for i in range(2000)]
    wrong = [i for i, s in enumerate(scenes) if not check(render(s, size), s)["all"]]
    assert wrong == []


def test_oracle_reads_centers_and_colours():
    for number in range(40):
        truth = sorted(scene(9, number, max_objects=3).things, key=lambda t: t.cell)
        for seen, true in zip(read(render(Scene(tuple(truth)), 32)), truth, strict=True):
            assert abs(seen.x - true.x) < 0.5 / 32
            assert abs(seen.y - true.y) < 0.5 / 32
            assert max(abs(a - b) for a, b in zip(seen.rgb, true.rgb, strict=True)) < 30


def test_oracle_degrades_gracefully():
    scenes = [scene(3, i, max_objects=3) for i in range(60)]
    pictures = [render(s, 32).float() for s in scenes]
    right = [agreement([noisy(p, sd, i) for i, p in enumerate(pictures)], scenes)["all"] for sd in (8, 20, 60)]
    assert right[0] == 1
    assert right[1] > 0.9
    assert right[2] < right[1]
    fits = [numpy.mean([t.fit for p in pictures[:20] for t in read(noisy(p, sd, 0))]) for sd in (0, 10, 20)]
    assert fits == sorted(fits, reverse=True)


def test_oracle_finds_nothing_in_nothing():
    assert read(torch.full((3, 24, 24), 255, dtype=torch.uint8)) == []
    assert read(noisy(torch.full((3, 24, 24), 255.0), 15, 0)) == []


@pytest.mark.parametrize("shape", [(3, 15, 15), (1, 24, 24), (3, 24, 32)])
def test_oracle_refuses_what_it_cannot_read(shape):
    with pytest.raises(ValueError, match=r"\(3, size, size\) of 16 px or more"):
        read(torch.zeros(shape, dtype=torch.uint8))


def test_check_says_which_attribute_is_wrong():
    true = Scene((thing("small red square top left"), thing("large blue ring right")))
    shown = {
        "colour": (thing("small green square top left"), true.things[1]),
        "shape": (thing("small red moon top left"), true.things[1]),
        "size": (thing("large red square top left"), true.things[1]),
        "place": (thing("small red square left"), true.things[1]),
    }
    for name, things in shown.items():
        found = check(render(Scene(things), 24), true)
        assert [n for n in ("count", "colour", "shape", "size", "place") if not found[n]] == [name]
        assert found["relation"]
        assert not found["all"]
    swapped = Scene((thing("small red square right"), thing("large blue ring top left")))
    found = check(render(swapped, 24), true)
    assert not found["relation"]
    assert not found["place"]
    assert found["colour"]
    fewer = check(render(Scene(true.things[:1]), 24), true)
    assert not any(fewer.values())
    assert "relation" not in check(render(Scene(true.things[:1]), 24), Scene(true.things[:1]))


# -- captions and questions ---------------------------------------------------------------------------------


def test_canonical_caption():
    pair = Scene((thing("large blue ring right"), thing("small red square top left")))
    assert canonical(pair) == "a small red square at the top left and a large blue ring at the right"
    found = {caption(pair, random.Random(k)) for k in range(200)}
    assert "a small red square left of a large blue ring" in found
    assert "at the right a large blue ring and at the top left a small red square" in found
    assert len(found) == 6  # two orders, three forms, one relation


def test_entropy_is_that_of_the_captions_drawn():
    """The plug-in estimate on a world so small that every caption comes many times."""
    shown = {"colours": ("red", "green"), "shapes": ("square", "ring")}
    exact = caption_entropy(1, pairs=4)
    rng = random.Random(0)
    counts = Counter(caption(scene(1, i, max_objects=1, **shown), rng) for i in range(12_000))
    estimate = -sum(n / 12_000 * math.log(n / 12_000) for n in counts.values())
    assert len(counts) == 2 * 4 * 2 * 9
    assert exact == pytest.approx(math.log(2 * 4 * 2 * 9))
    assert estimate == pytest.approx(exact, abs=0.02)


def test_entropy_counts_forms_relations_and_orders():
    assert _relation_entropy() == pytest.approx(math.log(4))
    rng = random.Random(1)
    pairs = [s for i in range(3000) if len((s := scene(2, i)).things) == 2]
    words = Counter(rng.choice(relations(*rng.sample(s.things, 2))) for s in pairs)
    assert all(n / len(pairs) == pytest.approx(1 / 4, abs=0.04) for n in words.values())
    two = math.log(len(forms(2))) + 2 * math.log(96) + (2 * math.log(32) + math.log(4)) / 3
    one = math.log(len(forms(1))) + math.log(96) + math.log(9)
    assert caption_entropy(2, pairs=48) == pytest.approx(math.log(2) + (one + two) / 2)
    unordered = math.log(2) + (math.log(96 * 9) + 2 * math.log(96) + math.log(16)) / 2
    assert caption_entropy(2, pairs=48, paraphrases=False) == pytest.approx(unordered)


def test_answers_are_true(world):
    """Answers are checked by reading the question again, on the scene's own attributes."""
    opposite_side = {"left of": ("x", -1), "right of": ("x", 1), "above": ("y", -1), "below": ("y", 1)}

    def fitting(things, words):
        told, _, place = words.partition(" at the ")
        named = [w for w in told.split() if w != "thing"]
        return [t for t in things if all(w in (t.size, t.colour, t.shape) for w in named) and place in ("", t.place)]

    seen = Counter()
    for sample in world.evaluation("test", "ask"):
        things = world.scenes[sample.meta["item"]].things
        kind, question, answer = (sample.meta[k] for k in ("kind", "question", "answer"))
        text = question.removesuffix(" ?")
        seen[kind] += 1
        assert answer in sample.meta["choices"]
        if kind == "count":
            assert answer == ("one", "two", "three")[len(things) - 1]
        elif kind == "exists":
            colour, shape = text.split()[-2:]
            assert (answer == "yes") == any((t.colour, t.shape) == (colour, shape) for t in things)
        elif kind == "relation":
            word = next(w for w in opposite_side if f" {w} " in text)
            left, right = text.removeprefix("is the ").split(f" {word} the ")
            (a,), (b,) = fitting(things, left), fitting(things, right)
            axis, sign = opposite_side[word]
            assert (answer == "yes") == (sign * (getattr(a, axis) - getattr(b, axis)) > 0)
        elif kind.startswith("hop_"):
            word = next(w for w in opposite_side if f" {w} " in text)
            (b,) = fitting(things, text.split(f" {word} the ")[1])
            axis, sign = opposite_side[word]
            beside = [t for t in things if t is not b and sign * (getattr(t, axis) - getattr(b, axis)) > 0.2]
            assert [getattr(t, kind.removeprefix("hop_")) for t in beside] == [answer]
        else:
            words = text.removeprefix("where is the ") if kind == "place" else text.split(" is the ", 1)[1]
            (target,) = fitting(things, words)
            assert getattr(target, kind) == answer
    assert set(seen) == set(world.questions)


def test_yes_and_no_are_balanced(world):
    counts = Counter((s.meta["kind"], s.meta["answer"]) for s in world.evaluation("test", "ask"))
    for kind in ("exists", "relation"):
        assert counts[kind, "yes"] == counts[kind, "no"] > 30
    limited = Counter(
        s.meta["answer"] for s in world.evaluation("test", "ask", 61) if s.meta["kind"] in ("exists", "relation")
    )
    assert limited["yes"] == limited["no"]


def test_questions_that_do_not_apply_are_not_asked():
    one = Scene((thing("small red square left"),))
    rng = random.Random(0)
    assert ask(one, "relation", rng) == []
    assert ask(one, "hop_colour", rng) == []
    twins = Scene((thing("small red square left"), thing("small red square right")))
    assert ask(twins, "place", rng) == []


# -- protocols and stream ----------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["random", "grouped", "compositional"])
def test_splits_do_not_overlap_and_cover_all(protocol):
    data = shapes(num_scenes=1000, image_size=16, protocol=protocol)
    items = [i for split in ("train", "val", "test") for i in data.items(split)]
    assert sorted(items) == list(range(1000))
    assert 0.08 < len(data.items("test")) / 1000 < 0.35


def test_grouped_keeps_scenes_of_the_same_things_together():
    data = shapes(num_scenes=3000, image_size=16, protocol="grouped", max_objects=1, num_colours=3)
    sides = defaultdict(set)
    for split in ("train", "val", "test"):
        for i in data.items(split):
            sides[data.scenes[i].key].add(split)
    assert len(sides) == 3 * 6 * 2
    assert all(len(found) == 1 for found in sides.values())


def test_compositional_holds_out_pairs_seen_apart():
    data = shapes(num_scenes=2000, image_size=16, protocol="compositional")
    train = {(t.colour, t.shape) for i in data.items("train") for t in data.scenes[i].things}
    held = {pair for pair, split in data.pairs.items() if split != "train"}
    assert len(held) == 9
    assert not train & held
    assert {c for c, _ in train} == set(COLOURS)
    assert {s for _, s in train} == set(SHAPES)
    for split in ("val", "test"):
        assert all(held & {(t.colour, t.shape) for t in data.scenes[i].things} for i in data.items(split))


def test_a_sample_is_a_function_of_seed_and_number():
    one, two = (shapes(num_scenes=100, image_size=16, seed=4) for _ in range(2))
    for number in (0, 3, 999):
        a, b = one.training_sample(number), two.training_sample(number)
        assert [s.content for s in a.segments if s.modality == "text"] == [
            s.content for s in b.segments if s.modality == "text"
        ]
        assert a.meta == b.meta


def test_the_data_set_checks_and_bounds(world):
    item = world.items("test")[0]
    assert world.check(item, world.picture(item))["all"]
    assert world.entropy() == pytest.approx(caption_entropy(3, pairs=48))
    held = shapes(num_scenes=200, image_size=16, protocol="compositional")
    assert held.entropy() == pytest.approx(caption_entropy(2, pairs=48, allowed=39))
    with pytest.raises(UsageError, match="random and compositional"):
        shapes(num_scenes=300, image_size=16, protocol="grouped").entropy()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"image_size": 12}, "from 16 to 64"),
        ({"max_objects": 4}, "from 1 to 3"),
        ({"num_shapes": 1}, "from 2 to 6"),
        ({"questions": ["colours"]}, "Did you mean 'colour'"),
        ({"questions": ["relation"], "max_objects": 1}, "need max_objects"),
        ({"num_scenes": 20, "max_objects": 1, "evaluation_scenes": 5, "world_seed": 1}, "raise num_scenes"),
    ],
)
def test_wrong_options_are_refused(options, said):
    with pytest.raises(UsageError, match=said):
        shapes(**{"num_scenes": 300, **options})


def test_guess_is_ask_without_the_picture() -> None:
    data = shapes(8, {"guess": 1}, num_scenes=150, evaluation_scenes=20)
    assert_conforms("datasets", shapes, make=lambda: shapes(8, {"guess": 1}, num_scenes=150, evaluation_scenes=20))
    for asked, guessed in zip(data.evaluation("val", "ask"), data.evaluation("val", "guess"), strict=True):
        assert guessed.task == "guess"
        assert [segment.modality for segment in guessed.segments] == ["text", "text"]
        assert guessed.segments == asked.segments[1:]
        assert (guessed.key, guessed.meta) == (asked.key, asked.meta)
    item = data.items("train")[0]
    drawn = [data.sample("train", item, task, random.Random(3)) for task in ("ask", "guess")]
    assert drawn[1].segments == drawn[0].segments[1:]


def test_both_are_produced_of_the_same_scene() -> None:
    make = functools.partial(shapes, 8, {"both": 1}, num_scenes=150, evaluation_scenes=20)
    assert_conforms("datasets", shapes, make=make)
    data = make()
    for drawn, both in zip(data.evaluation("val", "draw"), data.evaluation("val", "both"), strict=True):
        assert [(segment.modality, segment.target) for segment in both.segments] == [("text", True), ("image", True)]
        assert both.segments[0].content == drawn.segments[0].content
        assert torch.equal(both.segments[1].content, drawn.segments[1].content)


def test_fewer_training_scenes_leave_the_other_splits_whole() -> None:
    whole, part = shapes(num_scenes=300), shapes(num_scenes=300, train_scenes=40)
    assert part.items("train") == whole.items("train")[:40]
    for split in ("val", "test"):
        assert part.items(split) == whole.items(split)
    with pytest.raises(UsageError, match=f"from 1 to the {len(whole.items('train'))} training scenes, not 301"):
        shapes(num_scenes=300, train_scenes=301)
