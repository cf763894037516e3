from __future__ import annotations

import json
import logging
import random

import pytest
from PIL import Image

from mmgraph.datasets import coco_captions, emoji
from mmgraph.errors import RunError, UsageError
from mmgraph.testing import assert_conforms
from tests.plugins.datasets import benchmarks

TRAIN = "annotations/captions_train2017.json"


@pytest.fixture
def root(tmp_path):
    return benchmarks.coco_captions(tmp_path)


def test_conforms(root):
    assert_conforms("datasets", coco_captions, make=lambda: coco_captions(4, root=str(root), image_size=8))


def test_every_caption_is_a_reference_and_training_draws_one(root):
    data = coco_captions(root=str(root), image_size=8)
    assert [len(data.items(split)) for split in ("train", "val", "test")] == [23, 1, 8]
    sample = data.evaluation("test", "name")[0]
    colour = sample.meta["answer"].split()[1]
    people = (f"a {colour} card", f"there is a {colour} card on the table", f"one {colour} card")
    assert sample.meta["answers"] == people
    assert sample.segments[1].content == people[0]
    item = data.items("train")[0]
    heard = {data.sample("train", item, "draw", random.Random(k)).segments[0].content for k in range(30)}
    assert heard == set(data.gallery.shown[item].texts)
    assert data.description == "96 captions of 32 photographs"


def test_emoji_survive_the_format(tmp_path):
    world = emoji(subgroups=["heart"], image_size=32)
    shown = []
    for i, entry in enumerate(world.catalogue):
        picture = Image.fromarray(world.picture(i).permute(1, 2, 0).numpy())
        shown.append((picture, [entry.name, f"A picture of {entry.name}."]))
    data = coco_captions(root=str(benchmarks.coco_captions(tmp_path, shown, test=4)), image_size=32)
    names = [data.gallery.shown[i].texts[0] for i in range(len(shown))]
    assert names == [entry.name for entry in world.catalogue]
    assert data.gallery.shown[0].texts[1] == f"a picture of {names[0]}"
    assert (data.picture(0).float() - world.picture(0).float()).abs().mean() < 12  # JPEG's loss


def test_the_release_of_2014_and_files_beside_the_pictures(tmp_path):
    root = benchmarks.coco_captions(tmp_path, year=2014)
    for path in (root / "annotations").iterdir():
        path.rename(root / path.name)
    assert len(coco_captions(root=str(root), year=2014).items("test")) == 8
    with pytest.raises(UsageError, match=r"no captions of train2017: looked for annotations/captions_train2017\.json"):
        coco_captions(root=str(root))


def test_what_cannot_be_used_is_counted(root, caplog):
    values = json.loads((root / TRAIN).read_text())
    values["annotations"][0]["caption"] = "  "
    values["annotations"][1]["image_id"] = 77
    (root / "train2017" / values["images"][3]["file_name"]).unlink()
    (root / TRAIN).write_text(json.dumps(values))
    with caplog.at_level(logging.WARNING):
        data = coco_captions(root=str(root))
    assert "captions left out (2) without words, or of a picture that is not listed: 100, 101" in caplog.text
    assert "captions left out (3) picture missing: train2017/000000000004.jpg" in caplog.text
    assert len(data.items("train")) + len(data.items("val")) == 23


@pytest.mark.parametrize("text", ['{"images": [], "annotations": []}', '{"annotations": [1]}', "[]", "{"])
def test_damaged_files_are_run_errors(root, text):
    (root / TRAIN).write_text(text)
    with pytest.raises(RunError, match=r"captions_train2017\.json"):
        coco_captions(root=str(root))
