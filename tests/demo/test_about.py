from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from mmgraph import models
from mmgraph.demo import pixels
from mmgraph.demo.about import About, offers
from mmgraph.demo.studio import Studio
from mmgraph.errors import UsageError
from tests import tiny

CONFIG = {
    "seed_everything": 3,
    "model": {"init_args": {"size": "${data.init_args.image_size}"}},
    "data": {
        "class_path": "mmgraph.datasets.shapes",
        "init_args": {"image_size": 16, "num_scenes": 200, "evaluation_scenes": 20, "tasks": {"draw": 2, "ask": 1}},
    },
    "trainer": {"max_steps": 50},
}


@pytest.fixture
def run(tiny_model, tmp_path) -> Path:
    folder = tmp_path / "runs" / "my_recipe" / "3"
    models.save(tiny_model, folder / "model")
    (folder / "config.yaml").write_text("# recipe: my_recipe\n" + yaml.safe_dump(CONFIG), encoding="utf-8")
    return folder


def studio_of(run: Path) -> Studio:
    return Studio(models.load(run), str(run))


def test_a_run_directory(run):
    about = About(str(run))
    facts = about.facts(studio_of(run))
    assert {name: facts[name] for name in ("recipe", "seed", "training_steps", "report", "size")} == {
        "recipe": "my_recipe",
        "seed": 3,
        "training_steps": 50,
        "report": False,
        "size": tiny.SIZE,
    }
    assert facts["parameters"] == sum(parameter.numel() for parameter in tiny.model().parameters())
    assert facts["refusals"] == {"draw": None, "ask": None, "name": None}
    json.dumps(facts, allow_nan=False)


def test_what_the_training_recorded_counts(run):
    (run / "training.json").write_text('{"recipe": "other", "seed": 9, "steps": 42}')
    (run / "report.html").write_text("<h1>report</h1>")
    about = About(f"run:{run}")
    facts = about.facts(studio_of(run))
    assert (facts["recipe"], facts["seed"], facts["training_steps"], facts["report"]) == ("other", 9, 42, True)
    assert about.report == run / "report.html"


def test_a_model_folder_has_no_data(run):
    about = About(str(run / "model"))
    assert about.facts(studio_of(run / "model"))["recipe"] is None
    with pytest.raises(UsageError, match="does not say what it was trained on"):
        about.dataset()


def test_the_zoo_is_described_by_its_recipe(studio):
    about = About("zoo:transfusion_long")
    facts = about.facts(studio)
    assert facts["recipe"] == "transfusion_long"
    assert facts["title"].startswith("Transfusion on all emoji")
    assert about.config["data"]["class_path"] == "mmgraph.datasets.emoji"


def test_offers_come_from_the_runs_own_data(run):
    studio = studio_of(run)
    dataset = About(str(run)).dataset()
    found = offers(dataset, studio)
    assert found["protocol"] == "random"
    assert sorted(found["tasks"]) == ["ask", "draw"]
    assert found["description"].startswith("ShapesDataset")
    texts = {key: {caption["text"] for caption in captions} for key, captions in found["captions"].items()}
    assert len(texts["trained"]) > 5
    assert len(texts["unseen"]) > 5
    assert found["pictures"]
    for known in found["pictures"]:
        assert pixels.unstrip(known["picture"]).shape == (3, tiny.SIZE, tiny.SIZE)
        assert all(question["text"] and question["answer"] for question in known["questions"])
    assert set(found["questions"]) <= {question["text"] for own in found["pictures"] for question in own["questions"]}
    assert found == offers(dataset, studio)
    json.dumps(found, allow_nan=False)


def test_a_damaged_configuration(run):
    (run / "config.yaml").write_text("data: {class_path: ${nowhere}}")
    with pytest.raises(UsageError, match="cannot be read as a configuration"):
        About(str(run))
    (run / "config.yaml").write_text("- 1")
    with pytest.raises(UsageError, match="holds no configuration"):
        About(str(run))
