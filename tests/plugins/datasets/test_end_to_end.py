"""Each format from its files to metrics.json: a tiny model takes two steps, then answers that are known are scored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from mmgraph import generation
from mmgraph.cli import main
from mmgraph.cli.evaluate import summary
from mmgraph.evaluation import evaluate
from tests.plugins.datasets import benchmarks

RECIPE = Path(__file__).with_name("see.yaml")


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MMGRAPH_CACHE", str(tmp_path_factory.mktemp("cache")))


def fit(name, root, run, *more):
    """Run the command as the documentation has it."""
    data = ["--data", f"mmgraph.datasets.{name}", *(["--data.root", str(root)] if root else [])]
    assert main(["fit", "-c", str(RECIPE), *data, *more, "--run", str(run)]) == 0
    return run


def say(monkeypatch, names="", answers=None):
    """Let every model give these names, and these answers by question."""
    monkeypatch.setattr(generation, "name", lambda model, pictures: [names] * len(pictures))
    monkeypatch.setattr(
        generation, "ask", lambda model, pictures, asked: [(answers or {}).get(text, "") for text in asked]
    )


def test_vqav2(tmp_path, monkeypatch, capsys):
    run = fit("vqav2", benchmarks.vqav2(tmp_path / "data"), tmp_path / "run")
    told = capsys.readouterr().err
    assert "is dropped: mmgraph.datasets.vqav2 has no such option" not in told
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["data"]["class_path"].endswith(("mmgraph.datasets.vqav2", "VQAv2Dataset"))
    assert config["data"]["init_args"]["tasks"] == {"ask": 2}
    assert config["data"]["init_args"]["protocol"] == "random"
    assert config["data"]["init_args"]["batch_size"] == 4
    say(monkeypatch, answers={"How many cards?": "Two.", "What color is the card?": "a grey", "Is the card red?": "No"})
    found = evaluate(run)["understanding"]
    assert {kind: row["n"] for kind, row in found.items()} == {"number": 8, "other": 8, "yes_no": 8}
    assert found["number"]["accuracy"] == pytest.approx(0.6)  # two of ten said 2
    assert found["other"]["accuracy"] == pytest.approx(0.6)
    assert found["yes_no"]["accuracy"] == pytest.approx(7 / 8)  # one card of eight is red, and nobody said no
    assert found["number"]["majority"] == pytest.approx(1.0)
    assert found["number"]["chance"] == pytest.approx((1.0 + 0.6) / 2)  # 1 and 2 are known
    assert found["yes_no"]["chance"] == pytest.approx(0.5)
    assert found["other"]["chance"] == pytest.approx((1.0 + 0.6) / 9, abs=1e-5)  # eight colours and grey


def test_coco_captions(tmp_path, monkeypatch):
    run = fit("coco_captions", benchmarks.coco_captions(tmp_path / "data"), tmp_path / "run")
    say(monkeypatch, names="There is a red card on the table.")
    found = evaluate(run)
    assert set(found["captioning"]) == {"trained", "unseen"}
    scores = found["captioning"]["unseen"]
    assert set(scores) == {"bleu_4", "cider_d", "rouge_l"}
    # of nine words (there is a COLOUR card on the table) one is wrong in seven pictures of eight
    assert scores["rouge_l"]["value"] == pytest.approx((7 * 7 / 8 + 1) / 8)
    right = [8 - 7 / 8, 7 - 14 / 8, 6 - 21 / 8, 5 - 28 / 8]
    wanted = 1.0
    for n, each in enumerate(right):
        wanted *= each / (8 - n)
    assert scores["bleu_4"]["value"] == pytest.approx(wanted**0.25, abs=1e-5)
    assert scores["cider_d"]["ci95"][0] <= scores["cider_d"]["value"] <= scores["cider_d"]["ci95"][1]
    assert set(scores["cider_d"]["baselines"]) == {"frequent_caption", "nearest_picture"}
    assert scores["rouge_l"]["baselines"]["nearest_picture"] == pytest.approx(1.0)  # colours are seen at once
    assert found["understanding"]["name"]["accuracy"] == 0.0  # the full stop makes it another text
    say(monkeypatch, names="there is a red card on the table")
    assert evaluate(run)["understanding"]["name"]["accuracy"] == pytest.approx(1 / 8)
    page = (run / "report.html").read_text()
    for text in ("CIDEr-D", "BLEU-4", "ROUGE-L", "Most frequent caption", "Nearest picture&#x27;s caption", "Captions"):
        assert text in page, text
    assert "caption, unseen" in summary(found)
    assert main(["cite", "--run", str(run)]) == 0


def test_gqa(tmp_path, monkeypatch):
    run = fit("gqa", benchmarks.gqa(tmp_path / "data"), tmp_path / "run")
    say(monkeypatch, answers={"What color is the card?": "The card is red.", "Is the card red?": "no"})
    found = evaluate(run)["understanding"]
    assert found["query"]["accuracy"] == pytest.approx(1 / 8)
    assert found["verify"]["accuracy"] == pytest.approx(7 / 8)
    assert found["verify"]["majority"] == pytest.approx(7 / 8)


def test_llava_instruct(tmp_path, monkeypatch):
    run = fit("llava_instruct", benchmarks.llava_instruct(tmp_path / "data"), tmp_path / "run")
    say(monkeypatch, answers={"What color is it?": "red"})
    found = evaluate(run)
    assert list(found["understanding"]) == ["conversation"]
    pictures = json.loads((run / "samples.json").read_text())["answers"]["unseen"]
    red = [p["answers"][0]["answer"] == "red" for p in pictures]
    assert found["understanding"]["conversation"]["accuracy"] == pytest.approx(sum(red) / len(red), abs=1e-6)
    assert found["losses"]["ask"]["text"]["n"] == found["understanding"]["conversation"]["n"]


def test_webdataset_resumes_where_it_stopped(tmp_path, monkeypatch):
    root = benchmarks.shards(tmp_path / "data")
    order = ("--data.order", "shards", "--data.test_shards", "train-0002.tar")
    whole = fit("webdataset", root, tmp_path / "whole", *order, "--data.tasks", "{name: 1}", "--trainer.max_steps", "4")
    part = fit("webdataset", root, tmp_path / "part", *order, "--data.tasks", "{name: 1}")
    assert main(["fit", "--run", str(part), "--resume", "--trainer.max_steps", "4"]) == 0
    both = [(run / "model" / "model.safetensors").read_bytes() for run in (whole, part)]
    assert both[0] == both[1]
    say(monkeypatch, names="a purple card 20")
    assert evaluate(whole)["understanding"]["name"]["accuracy"] == pytest.approx(1 / 10)
    assert not evaluate(whole)["captioning"]  # one caption of each picture is no consensus


def test_easy_vqa(tmp_path, monkeypatch):
    run = fit("easy_vqa", None, tmp_path / "run", "--data.limit", "100", "--data.evaluated", "20")
    asked = {"what color is the shape?": "red"}
    say(monkeypatch, answers=asked)
    found = evaluate(run)["understanding"]
    assert set(found) == {"absent", "colour", "present", "shape"}
    assert found["colour"]["chance"] == pytest.approx(1 / 8)
    assert found["shape"]["chance"] == pytest.approx(1 / 3, abs=1e-5)


@pytest.mark.parametrize(
    ("harm", "status", "said"),
    [
        (lambda root: (root / "v2_mscoco_train2014_annotations.json").write_text('{"annot'), 1, "no whole JSON file"),
        (lambda root: (root / "v2_mscoco_val2014_annotations.json").unlink(), 2, "has no annotations of val2014"),
    ],
)
def test_a_bad_download_is_one_message(tmp_path, capfd, harm, status, said):
    harm(benchmarks.vqav2(tmp_path / "data", train=4, test=2))
    command = ["fit", "-c", str(RECIPE), "--data", "mmgraph.datasets.vqav2", "--data.root", str(tmp_path / "data")]
    assert main([*command, "--run", str(tmp_path / "run")]) == status
    lines = [line for line in capfd.readouterr().err.splitlines() if not line.startswith("mmgraph: warning")]
    assert len(lines) == 1
    assert said in lines[0]


def test_what_the_command_line_says_of_the_data_stands(tmp_path, capfd):
    root = benchmarks.coco_captions(tmp_path / "data")
    command = ["fit", "-c", str(RECIPE), "--data", "mmgraph.datasets.coco_captions", "--data.root", str(root)]
    assert main([*command, "--data.tasks", "{draw: 1}", "--run", str(tmp_path / "a")]) == 2
    assert "task 'draw' needs the head 'image'" in capfd.readouterr().err
    assert main([*command, "--data.protocol", "grouped", "--run", str(tmp_path / "b")]) == 2
    assert "coco_captions keeps the benchmark's own division" in capfd.readouterr().err
