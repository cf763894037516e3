from __future__ import annotations

import json
import logging
import tarfile
from itertools import pairwise

import pytest
import torch
from mmgraph_datasets import tar_index

from mmgraph.datasets import webdataset
from mmgraph.errors import RunError, UsageError
from mmgraph.testing import assert_conforms
from tests.plugins.datasets import benchmarks
from tests.plugins.datasets.benchmarks import card, encoded, write_tar


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MMGRAPH_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def root(tmp_path):
    return benchmarks.shards(tmp_path)


def read(data, count=None):
    """Return the captions of the training stream in its order."""
    count = len(data.items("train")) if count is None else count
    return [next(s.content for s in data.training_sample(n).segments if s.modality == "text") for n in range(count)]


@pytest.mark.parametrize("order", ["shuffled", "shards", "sequential"])
def test_conforms(root, order):
    assert_conforms("datasets", webdataset, make=lambda: webdataset(4, root=str(root), image_size=8, order=order))


def test_the_same_samples_as_the_library_that_the_format_comes_from(root):
    import webdataset as wds

    shards = sorted(str(path) for path in root.glob("*.tar"))
    theirs = {s["__key__"]: (s["txt"], s["jpg"]) for s in wds.WebDataset(shards, shardshuffle=False)}
    data = webdataset(root=str(root), image_size=8)
    ours = {}
    for sample, number in zip(data.samples.found, data.samples.shard_of, strict=True):
        content = [tar_index.read(data.samples.shards[number], sample.members[e]) for e in ("txt", "jpg")]
        ours[sample.key] = tuple(content)
    assert ours == theirs
    assert list(ours) == list(theirs)


def test_shards_written_by_the_library_are_read(tmp_path):
    import webdataset as wds

    with wds.ShardWriter(str(tmp_path / "part-%02d.tar"), maxcount=8, verbose=0) as sink:
        for n in range(20):
            sink.write({"__key__": f"{n:04d}", "png": encoded(card(n), "PNG"), "json": {"caption": [f"card {n}", "x"]}})
    data = webdataset(root=str(tmp_path), shards="part-{00..02}.tar", image_size=8)
    assert len(data.samples) == 20
    assert data.samples[3].texts == ["card 3", "x"]


def test_orders(root):
    sequential = read(webdataset(root=str(root), image_size=8, order="sequential", test_shards="train-0002.tar"))
    numbers = [int(text.split()[-1]) for text in sequential]
    assert numbers == sorted(numbers)
    by_shards = webdataset(root=str(root), image_size=8, order="shards")
    epochs = [
        read(by_shards, 2 * len(by_shards.items("train")))[start:][: len(by_shards.items("train"))]
        for start in (0, len(by_shards.items("train")))
    ]
    for epoch in epochs:
        shards = [int(text.split()[-1]) // 10 for text in epoch]
        changes = sum(a != b for a, b in pairwise(shards))
        assert changes == 2  # one shard after the other
        assert sorted(epoch) == sorted(epochs[0])
    assert epochs[0] != epochs[1]
    shuffled = read(webdataset(root=str(root), image_size=8))
    assert shuffled != sorted(shuffled)


def test_test_shards_are_held_out(root):
    data = webdataset(root=str(root), image_size=8, test_shards="train-0002.tar")
    assert [int(data.samples[i].texts[0].split()[-1]) for i in data.items("test")] == list(range(20, 30))
    assert {data.samples.shard_of[i] for s in ("train", "val") for i in data.items(s)} == {0, 1}
    assert len(data.items("val")) >= 1


def test_questions_and_captions_of_json(tmp_path):
    members = []
    for n in range(20):
        told = {"text": f"card {n}", "question": "which colour ?", "answer": benchmarks.colour(n)}
        told["questions"] = [{"question": "how many ?", "answer": "one", "kind": "count"}]
        members += [(f"a/{n}.png", encoded(card(n), "PNG")), (f"a/{n}.json", json.dumps(told).encode())]
    write_tar(tmp_path / "x.tar", members)
    data = webdataset(root=str(tmp_path), image_size=8)
    assert data.supported_tasks == ("draw", "name", "ask")
    kinds = {sample.meta["kind"]: sample.meta["answer"] for sample in data.evaluation("train", "ask")}
    assert kinds["count"] == "one"
    assert kinds["question"] in benchmarks.COLOURS


def test_tasks_that_the_samples_do_not_allow_are_left_out(root, caplog):
    with caplog.at_level(logging.WARNING):
        data = webdataset(root=str(root), tasks={"name": 1.0, "ask": 2.0})
    assert data.tasks == {"name": 1.0}
    assert "do not allow ask" in caplog.text
    with pytest.raises(UsageError, match="tasks of WebDatasetDataset are draw, name"):
        webdataset(root=str(root), tasks={"ask": 1.0})


def test_a_truncated_shard_keeps_its_whole_samples(root, caplog):
    path = root / "train-0001.tar"
    path.write_bytes(path.read_bytes()[:-12_000])
    with caplog.at_level(logging.WARNING):
        data = webdataset(root=str(root), image_size=8)
    (record,) = [r for r in caplog.records if "cut short" in r.message]
    assert "shards (1) cut short or damaged, what comes before is used" in record.message
    assert "train-0001.tar after " in record.message
    kept = sum(shard == 1 for shard in data.samples.shard_of)
    assert 0 < kept < 10
    assert len(read(data)) == len(data.items("train"))


def test_a_damaged_header_within_a_shard_does_not_pass_unseen(root, caplog):
    path = root / "train-0001.tar"
    with tarfile.open(path) as archive:
        place = archive.getmembers()[8].offset
    content = bytearray(path.read_bytes())
    content[place : place + 200] = b"\xff" * 200
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        data = webdataset(root=str(root), image_size=8)
    assert "train-0001.tar after 4 samples" in caplog.text
    assert sum(shard == 1 for shard in data.samples.shard_of) == 4


def test_bad_samples_are_counted_and_others_stand_in(tmp_path, caplog):
    members = [(f"{n:03d}.{e}", c) for n in range(20) for e, c in (("jpg", encoded(card(n))), ("txt", b"a card"))]
    members[4] = ("002.jpg", members[4][1][:150])
    members[7] = ("003.txt", b"\xff\xfe\x00")
    members += [("100.jpg", encoded(card(1))), ("101.txt", b"no picture"), (".hidden", b""), ("README", b"")]
    write_tar(tmp_path / "x.tar", members)
    with caplog.at_level(logging.WARNING):
        data = webdataset(4, root=str(tmp_path), image_size=8)
        seen = {data.training_sample(n).meta["file"] for n in range(200)}
    assert "samples left out (1) without text: x.tar:100" in caplog.text
    assert "samples left out (1) without picture: x.tar:101" in caplog.text
    assert "x.tar:002" in caplog.text
    assert "x.tar:003" in caplog.text
    assert not {"x.tar:002", "x.tar:003"} & seen
    assert set(data.gallery.store.damaged) == {"x.tar:002", "x.tar:003"}


def test_the_index_is_cached_and_follows_the_shard(root, monkeypatch):
    shard = root / "train-0000.tar"
    first = tar_index.load(shard)
    scans = []
    scan = tar_index._scan
    monkeypatch.setattr(tar_index, "_scan", lambda path: scans.append(path) or scan(path))
    assert tar_index.load(shard) == first
    assert not scans
    write_tar(shard, [("0.jpg", encoded(card(0))), ("0.txt", b"new")])
    assert [sample.key for sample in tar_index.load(shard).samples] == ["0"]
    assert scans == [shard]


def test_a_damaged_index_is_made_again_and_none_is_no_failure(root, tmp_path_factory, monkeypatch, caplog):
    folder = tmp_path_factory.mktemp("index")
    shard = root / "train-0000.tar"
    first = tar_index.load(shard, str(folder))
    (path,) = folder.iterdir()
    for text in ("{", '{"key": 1}', ""):
        path.write_text(text)
        assert tar_index.load(shard, str(folder)) == first
    blocked = folder / "file"
    blocked.write_text("")
    with caplog.at_level(logging.WARNING):
        assert tar_index.load(shard, str(blocked / "cache")) == first
    assert "the index of a shard is not kept" in caplog.text


def test_what_is_no_shard_is_told(tmp_path, root):
    with pytest.raises(UsageError, match=r"no shards '\*\.zip' .option shards"):
        webdataset(root=str(root), shards="*.zip")
    with pytest.raises(UsageError, match=r"lacks 1 of the 4 shards of shards .* such as train-0003\.tar"):
        webdataset(root=str(root), shards="train-{0000..0003}.tar")
    with pytest.raises(UsageError, match="all test_shards"):
        webdataset(root=str(root), test_shards="*.tar")
    packed = tmp_path / "packed"
    write_tar(packed / "x.tar", [("0.jpg", encoded(card(0))), ("0.txt", b"a")], "w:gz")
    with pytest.raises(RunError, match="It is packed: unpack it"):
        webdataset(root=str(packed))
    (packed / "x.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(RunError, match=r"x\.tar .* is no plain tar: .* Download it again"):
        webdataset(root=str(packed))
    (packed / "x.tar").write_bytes(b"")
    with pytest.raises(RunError, match="is no plain tar: empty file"):
        webdataset(root=str(packed))
    write_tar(packed / "x.tar", [("0.jpg", encoded(card(0)))])
    with pytest.raises(RunError, match=r"no usable entry: without text \(1\)"):
        webdataset(root=str(packed))


def test_pictures_of_any_size_become_squares(tmp_path):
    members = []
    for n, size in enumerate([(5, 200), (200, 5), (64, 64), (1, 1)] * 3):
        members += [(f"{n}.jpg", encoded(card(n, size))), (f"{n}.txt", b"a card")]
    write_tar(tmp_path / "x.tar", members)
    for fit in ("crop", "pad"):
        data = webdataset(root=str(tmp_path), image_size=16, fit=fit)
        pictures = torch.stack([data.picture(i) for i in range(12)])
        assert pictures.shape == (12, 3, 16, 16)
    assert (pictures[1][:, 0] > 250).all()  # a wide picture is padded above with white
