from __future__ import annotations

import random
from collections import Counter, defaultdict

import pytest
import torch
from mmgraph_datasets import emoji_cache
from mmgraph_datasets.emoji_catalogue import GROUPS
from mmgraph_datasets.emoji_questions import denials, hint_words
from mmgraph_datasets.emoji_relations import relations, subgroups
from mmgraph_datasets.emoji_words import bare, concept_and_gender, plain

from mmgraph.datasets import emoji
from mmgraph.errors import UsageError
from mmgraph.testing import assert_conforms

FOOD = ["Food & Drink"]


@pytest.fixture(scope="module")
def everything():
    """All emoji there are, with and without skin tones, duplicates too."""
    return emoji_cache.load(16)


@pytest.fixture(scope="module")
def untoned():
    return emoji(image_size=16, keywords=3)


@pytest.fixture(scope="module")
def toned():
    return emoji(image_size=16, skin_tones=True, protocol="compositional")


def texts(sample):
    return [segment.content for segment in sample.segments if segment.modality == "text"]


def test_conforms():
    assert_conforms("datasets", emoji, make=lambda: emoji(8, image_size=16, limit=150, keywords=2, shift=1))


# -- the catalogue ------------------------------------------------------------------------------------------


def test_counts(everything, untoned):
    catalogue, pictures = everything
    assert pictures.shape == (len(catalogue), 3, 16, 16)
    assert 3900 <= len(catalogue) <= 4100
    assert 1900 <= sum(not e.tones for e in catalogue) <= 2000
    assert len({e.name for e in catalogue}) == len(catalogue)
    assert {e.group for e in untoned.catalogue} <= {*GROUPS, ""} - {"Symbols", "Flags"}
    assert len(subgroups(catalogue)) == 99


def test_names_are_words_of_ascii_letters_and_digits(everything):
    catalogue, _ = everything
    assert all(e.name == " ".join(e.name.split()) and e.name.replace(" ", "").isalnum() for e in catalogue)
    assert all((e.name.isascii() and e.name.islower()) or e.name.isdigit() for e in catalogue)
    by_emoji = {e.emoji: e for e in catalogue}
    apple = by_emoji["🍎"]
    assert (apple.name, apple.group, apple.subgroup, apple.colour) == (
        "red apple",
        "Food & Drink",
        "food-fruit",
        "red",
    )
    assert "fruit" in apple.keywords
    assert by_emoji["🕐"].name == "one oclock"


def test_variants_share_a_concept(everything):
    catalogue, _ = everything
    by_emoji = {bare(e.emoji): e for e in catalogue}
    for member in ("🧑‍🚀", "👩‍🚀", "👨🏿‍🚀"):
        assert by_emoji[member].concept == "astronaut"
    assert by_emoji["👨🏿‍🚀"].skin_tone == "dark"
    assert by_emoji["👨🏿‍🚀"].gender == "man"
    assert by_emoji["👸"].concept == by_emoji["🤴"].concept == "person with crown"
    assert by_emoji["👩🏻‍❤‍👨🏿"].skin_tone == "mixed"
    assert by_emoji["👩🏻‍❤‍👨🏿"].concept == "couple with heart"


def test_concepts_and_plain_words():
    names = {"scientist", "person bowing"}
    assert concept_and_gender("woman scientist", names) == ("scientist", "woman")
    assert concept_and_gender("men wrestling", names) == ("people wrestling", "man")
    assert concept_and_gender("man running facing right", names) == ("person running", "man")
    assert plain("Côte_d’Ivoire & Piñata_(UP!)") == "cote divoire and pinata up"


def test_no_two_kept_pictures_are_alike(everything):
    catalogue, pictures = everything
    france = {e.name: e for e in catalogue}["st martin"]
    assert france.duplicate_of == "🇫🇷"
    kept = pictures[[e.index for e in catalogue if not e.duplicate_of]]
    assert len({picture.numpy().tobytes() for picture in kept}) == len(kept)


def test_relations_are_typed_edges(everything):
    catalogue, _ = everything
    edges = relations(catalogue)
    place = {bare(e.emoji): i for i, e in enumerate(catalogue)}
    assert len(edges["skin_tone_of"]) > 1_700
    assert (place["👍🏽"], place["👍"]) in edges["skin_tone_of"]
    assert (place["🐻‍❄"], place["🐻"]) in edges["made_of"]
    siblings = {frozenset(pair) for pair in edges["gender_sibling"]}
    assert frozenset((place["🧑‍🚀"], place["👩‍🚀"])) in siblings
    assert all(catalogue[a].concept == catalogue[b].concept for a, b in edges["gender_sibling"])
    assert all(set(catalogue[a].keywords) & set(catalogue[b].keywords) for a, b in edges["shared_keyword"])
    assert (place["🍎"], GROUPS.index("Food & Drink")) in edges["in_group"]
    assert (place["🍎"], subgroups(catalogue).index("food-fruit")) in edges["in_subgroup"]


# -- protocols ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skin_tones", [False, True])
@pytest.mark.parametrize("protocol", ["random", "grouped", "compositional"])
def test_splits_do_not_overlap(protocol, skin_tones):
    data = emoji(image_size=16, protocol=protocol, skin_tones=skin_tones)
    splits = [set(data.items(split)) for split in ("train", "val", "test")]
    assert sum(map(len, splits)) == len(set.union(*splits))
    if protocol != "compositional":
        assert len(set.union(*splits)) == len(data.catalogue)
        assert 0.10 < len(splits[2]) / len(data.catalogue) < 0.20
        assert 0.02 < len(splits[1]) / len(data.catalogue) < 0.08


@pytest.mark.parametrize("skin_tones", [False, True])
def test_grouped_keeps_all_variants_of_a_concept_on_one_side(skin_tones):
    data = emoji(image_size=16, skin_tones=skin_tones)
    sides = defaultdict(set)
    for split in ("train", "val", "test"):
        for item in data.items(split):
            sides[data.catalogue[item].concept].add(split)
    assert all(len(found) == 1 for found in sides.values())


def test_compositional_holds_out_pairs_of_parts_seen_apart(toned):
    train = [toned.catalogue[i] for i in toned.items("train")]
    pairs = {(e.concept, tone) for e in train for tone in e.tones}
    roles, tones = {e.concept for e in train if e.tones}, {tone for e in train for tone in e.tones}
    held = [toned.catalogue[i] for split in ("val", "test") for i in toned.items(split)]
    assert len(held) > 200
    for e in held:
        (tone,) = set(e.tones)
        assert (e.concept, tone) not in pairs
        assert e.concept in roles
        assert tone in tones
    untoned = {e.index for e in toned.catalogue if not e.tones}
    assert untoned <= set(toned.items("train"))


def test_compositional_without_tones_pairs_role_and_gender():
    data = emoji(image_size=16, protocol="compositional")
    train = [data.catalogue[i] for i in data.items("train")]
    pairs = {(e.concept, e.gender) for e in train}
    for item in data.items("test"):
        e = data.catalogue[item]
        assert e.gender
        assert (e.concept, e.gender) not in pairs
        assert e.concept in {t.concept for t in train}
        assert e.gender in {t.gender for t in train}


def test_divisions_do_not_depend_on_what_else_is_kept(untoned):
    food = emoji(image_size=16, groups=FOOD)
    names = {untoned.catalogue[i].name for i in untoned.items("test")}
    assert {food.catalogue[i].name for i in food.items("test")} == {e.name for e in food.catalogue if e.name in names}


# -- samples ------------------------------------------------------------------------------------------------


def test_a_sample_is_a_function_of_seed_and_number():
    one, two = (emoji(image_size=16, groups=FOOD, keywords=3, shift=2, seed=7) for _ in range(2))
    for number in (0, 5, 10_001):
        a, b = one.training_sample(number), two.training_sample(number)
        assert texts(a) == texts(b)
        pictures = [[s.content for s in x.segments if s.modality == "image"] for x in (a, b)]
        assert all(torch.equal(x, y) for x, y in zip(*pictures, strict=True))


def test_draw_captions_tell_words_shared_in_training(untoned):
    train = [untoned.catalogue[i] for i in untoned.items("train")]
    concepts = defaultdict(set)
    for e in train:
        for word in (*e.name.split(), *hint_words(e)):
            concepts[word].add(e.concept)
    for sample in untoned.evaluation("test", "draw"):
        name, _, hints = sample.meta["caption"].partition(" , ")
        assert name == sample.meta["name"]
        assert len(hints.split()) <= 3
        assert all(len(concepts[word]) >= 2 for word in hints.split())
    item = untoned.items("train")[0]
    seen = {texts(untoned.sample("train", item, "draw", random.Random(k)))[0] for k in range(40)}
    assert len(seen) > 5
    assert texts(untoned.sample("train", item, "draw", random.Random(3)))[0] in seen


def test_answers_are_right_and_among_the_choices(toned):
    for sample in toned.evaluation("test", "ask"):
        e = toned.catalogue[sample.meta["item"]]
        kind, answer = sample.meta["kind"], sample.meta["answer"]
        assert answer in sample.meta["choices"]
        assert sample.segments[-1].content == answer
        if kind == "skin_tone":
            assert answer == e.skin_tone
        elif kind == "colour":
            assert answer == e.colour
        elif kind == "group":
            assert answer == plain(e.group)


def test_yes_and_no_are_balanced(untoned):
    for limit in (None, 50, 51, 52, 53, 54):
        answers = Counter(
            s.meta["answer"] for s in untoned.evaluation("test", "ask", limit) if s.meta["kind"] == "shows"
        )
        assert answers["yes"] == answers["no"] > 0
    rng = random.Random(0)
    only = emoji(image_size=16, questions=["shows"], tasks={"ask": 1.0})
    drawn = [only.sample("train", rng.choice(only.items("train")), "ask", rng) for _ in range(2000)]
    answers = [s.meta["answer"] for s in drawn if s.task == "ask"]  # a picture without such words is named
    assert len(answers) > 1000
    yes = answers.count("yes") / len(answers)
    assert abs(yes - 0.5) < 4 * (0.25 / len(answers)) ** 0.5


def test_the_word_alone_does_not_tell_yes_from_no(untoned):
    depicted = [untoned._depicted[i] for i in untoned.items("train") if untoned._depicted[i]]
    words, cumulative = denials(depicted)
    weights = {w: b - a for w, a, b in zip(words, [0.0, *cumulative], cumulative, strict=False)}
    yes, no = Counter(), Counter()
    for own in depicted:
        left = sum(weights.values()) - sum(weights[w] for w in own)
        for word in words:
            if word in own:
                yes[word] += 1 / len(own)
            else:
                no[word] += weights[word] / left
    assert all(yes[word] == pytest.approx(no[word], rel=1e-3) for word in words)


def test_text_contents_come_from_training_items_only(untoned):
    known = set(untoned.contents("text"))
    held = {untoned.catalogue[i].name for i in untoned.items("test")}
    assert not held & {text.partition(" , ")[0] for text in known}
    assert sum(1 for _ in untoned.contents("image")) == len(untoned.items("train"))


def test_shift_moves_what_is_read_and_never_what_is_drawn():
    data = emoji(image_size=16, groups=FOOD, shift=2, mirror=True)
    item = data.items("train")[0]
    rng = random.Random(0)
    for _ in range(20):
        assert torch.equal(data.sample("train", item, "draw", rng).segments[1].content, data.picture(item))
        assert torch.equal(data.sample("test", item, "name", rng).segments[0].content, data.picture(item))
    seen = [data.sample("train", item, "name", rng).segments[0].content for _ in range(60)]
    assert len({picture.numpy().tobytes() for picture in seen}) > 20
    moved = torch.full((3, 16, 16), 255, dtype=torch.uint8)
    moved[:, 2:, :-1] = data.picture(item)[:, :-2, 1:]
    assert any(torch.equal(picture, moved) for picture in seen)


def test_clocks_and_hands_are_not_mirrored():
    data = emoji(image_size=16, subgroups=["time"], mirror=True)
    item = data.items("train")[0]
    assert all(
        torch.equal(data.sample("train", item, "name", random.Random(k)).segments[0].content, data.picture(item))
        for k in range(20)
    )


def test_withheld_words_are_marked_unknown():
    data = emoji(image_size=16, groups=FOOD, keywords=3, withhold=1.0)
    rng = random.Random(0)
    heard = [texts(data.sample("train", i, "draw", rng))[0] for i in data.items("train")]
    hinted = [text.partition(" , ")[0].split() for text in heard if " , " in text]
    assert hinted
    assert all(set(words) == {"<unk>"} for words in hinted)
    assert all("<unk>" not in s.meta["caption"] for s in data.evaluation("test", "draw"))


def test_majority_is_counted_over_training_items(untoned):
    counts = untoned.answer_counts("colour")
    assert sum(counts.values()) == len(untoned.items("train"))
    assert max(counts, key=counts.get) == "yellow"
    assert set(untoned.answer_counts("shows")) == {"yes", "no"}


# -- options ------------------------------------------------------------------------------------------------


def test_subgroups_and_limit():
    fruit = emoji(image_size=16, subgroups=["food-fruit"])
    assert {e.subgroup for e in fruit.catalogue} == {"food-fruit"}
    few = emoji(image_size=16, limit=300)
    assert 290 <= len(few.catalogue) <= 300
    flags = emoji(image_size=16, groups=["Flags"], tasks={"name": 1.0})
    assert len(flags.catalogue) > 200


def test_credits_name_art_and_licence():
    assert "Twemoji" in emoji.credits
    assert "CC-BY 4.0" in emoji.credits


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"groups": ["Food & Drinks"]}, "Did you mean 'Food & Drink'"),
        ({"subgroups": ["food-fruits"]}, "Did you mean 'food-fruit'"),
        ({"questions": ["color"]}, "Did you mean 'colour'"),
        ({"image_size": 100}, "from 8 to 72"),
        ({"shift": 8}, "from 0 to 7"),
        ({"withhold": 2.0}, "from 0 to 1"),
        ({"groups": FOOD, "protocol": "compositional"}, "another protocol"),
        ({"groups": FOOD, "questions": ["skin_tone"]}, "none of the questions"),
    ],
)
def test_wrong_options_are_refused(options, said):
    with pytest.raises(UsageError, match=said):
        emoji(**{"image_size": 16, **options})
