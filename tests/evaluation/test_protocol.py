from __future__ import annotations

import json
import re

import pytest

from mmgraph import registry
from mmgraph.blocks import moe_topk
from mmgraph.cli.evaluate import summary
from mmgraph.errors import RunError, UsageError
from mmgraph.evaluation import evaluate, schema, write_report
from mmgraph.metrics import PictureMetric
from tests import tiny
from tests.evaluation.world import SIZE

QUICK = {"limit": 6, "num_steps": 2}


def strict(path):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def test_measures_everything_and_writes_the_run_directory(make_run):
    run = make_run()
    told = []
    found = evaluate(run, command="mmgraph evaluate --run here", progress=told.append, **QUICK)
    assert strict(run / "metrics.json") == found
    schema.check(found)
    assert (found["recipe"], found["seed"], found["split"]) == ("squares", 3, "test")
    assert found["command"] == "mmgraph evaluate --run here"
    assert found["training"]["steps"] == 10
    assert found["training"]["visual_tokens"] == 4
    assert found["training"]["parameters"] > 1000
    assert found["data"]["size"] == [SIZE, SIZE]
    assert found["data"]["pictures"] == {"train": 32, "test": 8}
    for population in ("trained", "unseen"):
        scores = found["generation"][population]
        assert scores["recall_at_10"]["n"] == 6
        # six true pictures and whatever training pictures there are besides
        assert scores["recall_at_10"]["candidates"] == (32 if population == "trained" else 38)
        for name in registry.names("metrics"):
            metric = registry.load("metrics", name)
            assert not issubclass(metric, PictureMetric) or set(metric.meanings) & set(scores)
        baselines = {"nearest_caption", "mean_picture", "real", "reconstruction"}
        assert set(scores["recall_at_10"]["baselines"]) == baselines
        assert scores["recall_at_10"]["baselines"]["real"] == 1.0
        # raw patches lose nothing, so the ceiling is perfect
        assert found["reconstruction"][population]["psnr"]["value"] == 100
    assert found["generation"]["unseen"]["training_distance_pixels"]["baselines"]["nearest_caption"] == 0
    assert found["generation"]["trained"]["recall_at_1"]["baselines"]["nearest_caption"] == 1.0
    for key in ("understanding", "understanding_trained"):
        assert list(found[key]) == ["name", "colour"]
        assert found[key]["colour"]["n"] == 6
        assert found[key]["colour"]["chance"] == 0.25
    assert found["losses"]["draw"]["image"]["n"] == found["losses"]["ask"]["text"]["n"] == 6
    apart = strict(run / "items.json")
    for path, score in (
        ("understanding.colour.accuracy", found["understanding"]["colour"]["accuracy"]),
        ("understanding_trained.colour.accuracy", found["understanding_trained"]["colour"]["accuracy"]),
        ("generation.unseen.recall_at_10", found["generation"]["unseen"]["recall_at_10"]["value"]),
        ("losses.draw.image", found["losses"]["draw"]["image"]["value"]),
    ):
        assert len(apart[path]["values"]) == len(apart[path]["clusters"]) == 6
        assert sum(apart[path]["values"]) / 6 == pytest.approx(score, rel=1e-4)
    for name in ("samples.png", "samples.json", "report.html"):
        assert (run / name).stat().st_size > 0
    assert [line.split()[0] for line in told] == [
        "loading",
        *["drawing", "scoring"] * 2,
        "asking",
        "asking",
        "measuring",
        "writing",
    ]


def test_the_same_run_gives_the_same_numbers(make_run):
    run = make_run()
    first, second = (evaluate(run, limit=4, num_steps=2, metrics=["retrieval", "kid"]) for _ in range(2))
    for found in (first, second):
        found["evaluation"]["seconds"] = 0
    assert first == second
    other = evaluate(run, limit=4, num_steps=2, metrics=["retrieval", "kid"], seed=1)
    assert other["generation"]["unseen"]["kid"]["value"] != first["generation"]["unseen"]["kid"]["value"]


def test_the_report_is_written_again_from_files_alone(make_run):
    run = make_run()
    evaluate(run, **QUICK)
    page, sheet = (run / "report.html").read_text(), (run / "samples.png").read_bytes()
    for path in (run / "model").iterdir():
        path.unlink()
    (run / "report.html").unlink()
    (run / "samples.png").unlink()
    assert write_report(run) == run / "report.html"
    assert (run / "report.html").read_text() == page
    assert (run / "samples.png").read_bytes() == sheet


def test_the_page_opens_offline_and_describes_its_pictures(make_run):
    run = make_run()
    evaluate(run, **QUICK)
    page = (run / "report.html").read_text()
    assert not re.search(r"<script|<link|@import|url\((?!#)", page)
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page)
    pictures = re.findall(r"<img[^>]*>", page)
    assert len(pictures) >= 24
    assert all(re.search(r'alt="[^"]+"', tag) for tag in pictures)
    assert "Squares: nobody &amp; everybody." in page
    assert "squares of four colours &lt;made up&gt;" in page
    assert "class_path" in page


def test_a_model_that_only_understands_draws_nothing(make_run):
    run = make_run(tasks={"name": 1.0, "ask": 1.0, "draw": 0.0})
    found = evaluate(run, **QUICK)
    assert found["generation"] == found["reconstruction"] == found["legend"] == {}
    assert found["understanding"]["name"]["n"] == 6
    assert not (run / "samples.png").exists()
    assert "What it drew" not in (run / "report.html").read_text()


def test_a_model_that_only_draws_answers_nothing(make_run):
    run = make_run(tasks={"draw": 1.0})
    found = evaluate(run, metrics=["retrieval"], **QUICK)
    assert found["understanding"] == found["understanding_trained"] == {}
    assert set(found["generation"]["unseen"]) == {"recall_at_1", "recall_at_10"}
    assert "Names and answers" not in (run / "report.html").read_text()


def test_a_model_of_texts_alone_is_measured_by_its_loss(make_run):
    run = make_run(data="mmgraph.datasets.shapes", tasks={"write": 1.0, "guess": 1.0}, num_scenes=60, image_size=16)
    found = evaluate(run, **QUICK)
    assert found["understanding"] == found["generation"] == {}
    assert set(found["losses"]) == {"write", "guess"}
    lines = summary(found).splitlines()
    assert sorted(line.split()[0] for line in lines[1:]) == ["guess,", "write,"]
    assert f"{found['losses']['guess']['text']['value']:.3f}" in "\n".join(lines)


def test_the_run_names_itself_where_no_figures_of_the_training_exist(make_run):
    found = evaluate(make_run(training=False), limit=2, num_steps=1, metrics=[])
    assert (found["recipe"], found["seed"]) == ("squares", 3)
    assert found["training"]["seconds"] is None
    assert found["training"]["parameters"] > 1000
    assert "pytest" in found["command"] or found["command"]


def test_experts_that_a_position_does_not_meet_are_not_active(make_run):
    model = tiny.model(block=moe_topk(2, num_experts=4, top_k=1))
    found = evaluate(make_run(model=model), limit=2, num_steps=1, metrics=[])["training"]
    idle = sum(sum(p.numel() for p in block.parameters()) - block.active_parameters for block in model.blocks)
    assert idle > 0
    assert found["parameters"] - found["active_parameters"] == idle


def test_a_broken_metric_is_told_and_the_others_measure(make_run, monkeypatch):
    declared = registry.declared
    broken = registry.Entry("metrics", "broken", "nowhere.at_all:Metric", "faulty-plugin", "1")
    monkeypatch.setattr(registry, "declared", lambda kind: declared(kind) + ((broken,) if kind == "metrics" else ()))
    found = evaluate(make_run(tasks={"draw": 1.0}), limit=3, num_steps=1)
    assert "recall_at_1" in found["generation"]["unseen"]
    assert any("faulty-plugin" in note for note in found["notes"])
    with pytest.raises(registry.BrokenPluginError, match="faulty-plugin"):
        evaluate(make_run("again"), metrics=["broken"], **QUICK)


@pytest.mark.parametrize("options", [{"empty": True}, {"pictures": False}])
def test_a_split_with_nothing_to_measure_is_a_failure_that_names_it(make_run, options):
    with pytest.raises(RunError, match=r"Squares has nothing to measure in split '(test|train)'.*'random'"):
        evaluate(make_run(**options), **QUICK)


def test_refuses_a_training_split_a_limit_of_nothing_and_a_folder_without_a_run(make_run, tmp_path):
    run = make_run()
    with pytest.raises(UsageError, match="'val' or 'test'"):
        evaluate(run, split="train")
    with pytest.raises(UsageError, match="at least 1, not 0"):
        evaluate(run, limit=0)
    with pytest.raises(UsageError, match=r"no config\.yaml"):
        evaluate(tmp_path)
    with pytest.raises(UsageError, match=r"no plugin 'retrival'.*Did you mean 'retrieval'"):
        evaluate(run, metrics=["retrival"])
    (run / "config.yaml").write_text("model: {}\n")
    with pytest.raises(UsageError, match="names no data set"):
        evaluate(run)


def test_a_data_set_that_may_not_be_imported_is_refused(make_run):
    run = make_run()
    (run / "config.yaml").write_text("data: {class_path: os.system, init_args: {command: 'true'}}\n")
    with pytest.raises(UsageError, match="may not be named"):
        evaluate(run)


def test_damaged_files_are_named(make_run):
    run = make_run()
    with pytest.raises(RunError, match="mmgraph evaluate --run"):
        write_report(run)
    (run / "metrics.json").write_text("{")
    with pytest.raises(RunError, match="is no JSON"):
        write_report(run)
    (run / "training.json").write_text("{")
    with pytest.raises(RunError, match=r"training\.json is damaged"):
        evaluate(run, limit=2, num_steps=1, metrics=[])


def test_an_existing_report_survives_a_failed_evaluation(make_run):
    run = make_run()
    evaluate(run, limit=2, num_steps=1, metrics=[])
    page = (run / "report.html").read_bytes()
    (run / "model" / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(RunError):
        evaluate(run, limit=2, num_steps=1, metrics=[])
    assert (run / "report.html").read_bytes() == page
    assert not [path.name for path in run.iterdir() if path.name.startswith(".")]
