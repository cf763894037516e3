from __future__ import annotations

import json
import logging
import random

import pytest
import torch
from PIL import Image

from mmgraph.datasets import folder
from mmgraph.errors import RunError, UsageError
from mmgraph.testing import assert_conforms

COLOURS = ("red", "green", "blue", "orange", "purple", "black", "white", "yellow")


@pytest.fixture
def root(tmp_path):
    """Twenty-four pictures of eight colours, three of each, with texts and questions."""
    rows = ["file,text,question,answer"]
    for i in range(24):
        colour = COLOURS[i % 8]
        (tmp_path / "art").mkdir(exist_ok=True)
        Image.new("RGB", (20, 30), colour).save(tmp_path / "art" / f"{i}.png")
        rows.append(f"art/{i}.png,a {colour} card,which colour ?,{colour}")
    (tmp_path / "captions.csv").write_text("\n".join(rows))
    return tmp_path


def write(root, *rows):
    (root / "captions.csv").write_text("\n".join(("file,text,question,answer", *rows)))


def test_conforms(root):
    assert_conforms("datasets", folder, make=lambda: folder(4, root=str(root), image_size=8))


def test_pictures_texts_and_questions_are_read(root):
    data = folder(root=str(root), image_size=8)
    assert data.supported_tasks == ("draw", "name", "ask")
    assert data.pictures.shape == (24, 3, 8, 8)
    assert data.picture(0).flatten(1).unique(dim=1).tolist() == [[255], [0], [0]]
    (sample,) = [s for s in data.evaluation("train", "name") if s.meta["item"] == data.items("train")[0]]
    assert sample.segments[1].content == data.entries[data.items("train")[0]].texts[0]
    asked = data.evaluation("train", "ask")[0]
    assert asked.meta["question"] == "which colour ?"
    assert asked.meta["answer"] in asked.meta["choices"]
    assert len(asked.meta["choices"]) == 8


def test_jsonl_is_read_alike(root):
    rows = [{"file": f"art/{i}.png", "text": f"card {i}"} for i in range(6)]
    (root / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = folder(root=str(root), captions="captions.jsonl")
    assert [e.texts for e in data.entries] == [[f"card {i}"] for i in range(6)]
    assert data.supported_tasks == ("draw", "name")
    with pytest.raises(UsageError, match="both captions"):
        folder(root=str(root))


def test_tasks_are_those_that_the_rows_allow(root):
    write(root, *(f"art/{i}.png,,what is it ?,card" for i in range(6)))
    assert folder(root=str(root)).supported_tasks == ("ask",)
    write(root, *(f"art/{i}.png,a card,," for i in range(6)))
    assert set(folder(root=str(root)).tasks) == {"draw", "name"}
    with pytest.raises(UsageError, match="tasks of FolderDataset are draw, name"):
        folder(root=str(root), tasks={"ask": 1.0})


def test_several_rows_of_one_picture(root):
    write(root, "art/0.png,one,,", "art/0.png,two,is it red ?,yes", "./art/0.png,one,,", "art/1.png,three,,")
    data = folder(root=str(root))
    assert [e.texts for e in data.entries] == [["one", "two"], ["three"]]
    heard = {data.sample("train", 0, "draw", random.Random(k)).segments[0].content for k in range(20)}
    assert heard == {"one", "two"}


def test_bad_pictures_are_named_counted_and_left_out(root, caplog):
    (root / "art" / "broken.png").write_bytes(b"not a picture")
    whole = (root / "art" / "1.png").read_bytes()
    (root / "art" / "cut.png").write_bytes(whole[: len(whole) // 2])
    missing = [f"art/gone{i}.png,x,," for i in range(6)]
    write(root, "art/0.png,fine,,", "art/2.png,fine too,,", "art/broken.png,x,,", "art/cut.png,x,,", *missing)
    with caplog.at_level(logging.WARNING):
        data = folder(root=str(root))
    assert [e.file for e in data.entries] == ["art/0.png", "art/2.png"]
    (record,) = caplog.records
    assert "pictures left out (8)" in record.message
    assert "art/broken.png" in record.message
    assert "art/cut.png" in record.message
    assert "art/gone0.png: missing" in record.message
    assert "gone5" not in record.message
    assert record.message.endswith("and 3 more")
    for number in range(30):
        data.training_sample(number)


def test_rows_that_say_too_little_are_named_by_line(root, caplog):
    write(root, "art/0.png,fine,,", ",no file,,", "art/1.png,,,", "art/2.png,half,asked ?,", "art/3.png,fine,,")
    with caplog.at_level(logging.WARNING):
        data = folder(root=str(root))
    (record,) = caplog.records
    assert "line 3: no file" in record.message
    assert "line 4: no text" in record.message
    assert "line 5: no answer" in record.message
    assert [e.file for e in data.entries] == ["art/0.png", "art/2.png", "art/3.png"]


def test_broken_lines_of_jsonl_are_named(root, caplog):
    (root / "captions.csv").unlink()
    (root / "captions.jsonl").write_text(
        '{"file": "art/0.png", "text": "x"}\n{broken\n[1]\n\n{"file": "art/1.png", "text": "y"}'
    )
    with caplog.at_level(logging.WARNING):
        data = folder(root=str(root))
    assert len(data.entries) == 2
    assert "line 2: not JSON" in caplog.text
    assert "line 3: not an object" in caplog.text


def test_nothing_usable_is_a_run_error(root):
    write(root, "gone.png,x,,")
    with pytest.raises(RunError, match="no usable picture of 1"):
        folder(root=str(root))


@pytest.mark.parametrize("file", ["../outside.png", "/etc/outside.png", "art/../../outside.png", "link.png"])
def test_files_outside_the_folder_are_refused(root, file):
    outside = root.parent / "outside.png"
    Image.new("RGB", (4, 4)).save(outside)
    (root / "link.png").symlink_to(outside)
    write(root, "art/0.png,fine,,", f"{file},x,,")
    with pytest.raises(UsageError, match=r"line 3 names .*outside"):
        folder(root=str(root))


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (lambda root: (root / "captions.csv").unlink(), {}, "captions.csv or captions.jsonl"),
        (lambda root: None, {"captions": "notes.csv"}, "no notes.csv"),
        (
            lambda root: (root / "captions.csv").write_text("name,caption\n1,2"),
            {},
            "file,text; it has name,caption",
        ),
        (lambda root: (root / "captions.csv").write_bytes(b"file,text\na.png,\xff\xfe"), {}, "UTF-8"),
        (lambda root: None, {"protocol": "compositional"}, "random and grouped"),
        (lambda root: None, {"image_size": 2}, "at least 4"),
    ],
)
def test_wrong_usage_is_refused(root, change, options, said):
    change(root)
    with pytest.raises(UsageError, match=said):
        folder(root=str(root), **options)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UsageError, match="no folder"):
        folder(root=str(tmp_path / "nowhere"))


@pytest.mark.parametrize("protocol", ["random", "grouped"])
def test_splits_cover_all_and_do_not_overlap(root, protocol):
    data = folder(root=str(root), protocol=protocol)
    splits = [data.items(split) for split in ("train", "val", "test")]
    assert sorted(i for items in splits for i in items) == list(range(24))
    assert all(splits)


def test_grouped_keeps_shared_texts_on_one_side(root):
    rows = [f"art/{i}.png,a {COLOURS[i % 8]} card,," for i in range(24)]
    write(root, *rows, "art/0.png,a warm card,,", "art/3.png,a warm card,,")  # red and orange are linked
    data = folder(root=str(root), protocol="grouped")
    side = {i: split for split in ("train", "val", "test") for i in data.items(split)}
    assert all(side[i] == side[i % 8] for i in range(24))
    assert side[0] == side[3]


def test_adding_pictures_leaves_the_others_in_place(root):
    before = folder(root=str(root))
    where = {before.entries[i].file: s for s in ("train", "val", "test") for i in before.items(s)}
    Image.new("RGB", (9, 9)).save(root / "art" / "a.png")
    with (root / "captions.csv").open("a") as stream:
        stream.write("\nart/a.png,a new card,,")
    after = folder(root=str(root))
    now = {after.entries[i].file: s for s in ("train", "val", "test") for i in after.items(s)}
    assert sum(now[file] != side for file, side in where.items()) <= 1  # the least share of a split may move one


def test_transparency_and_turned_photos(root):
    Image.new("RGBA", (10, 10), (0, 0, 0, 0)).save(root / "clear.png")
    tall = Image.new("RGB", (8, 4), "white")
    tall.paste((0, 0, 0), (0, 0, 4, 4))
    exif = tall.getexif()
    exif[274] = 6  # turn by 90 degrees clockwise: left becomes top
    tall.save(root / "turned.png", exif=exif)
    write(root, "clear.png,clear,,", "turned.png,turned,,")
    clear, turned = (folder(root=str(root), image_size=8, fit="pad").picture(i) for i in range(2))
    assert clear.min() == 255
    assert turned[:, 1, 3:5].float().mean() < 60
    assert turned[:, 6, 3:5].float().mean() > 200
    assert torch.equal(turned[:, :, 0], torch.full((3, 8), 255, dtype=torch.uint8))
