"""What the command line says about configurations that are wrong."""

from __future__ import annotations

import pytest
import yaml

from mmgraph.cli.scaffold import template

from .conftest import HERE

LAYER = "model.init_args.layer"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--trainer.max_stepz", 3],
            ["unknown key 'max_stepz' in trainer", "'max_steps'", "the command line"],
        ),
        (["--trainr.max_steps", 3], ["unknown key 'trainr'", "'trainer'"]),
        (
            ["--model.init_args.lerning_rate", 3],
            ["'lerning_rate' in model.init_args (tiny.TinyModel)", "'learning_rate'"],
        ),
        ([f"--{LAYER}.init_args.witdh", 3], [f"'witdh' in {LAYER}.init_args (tiny.Layer)", "'width'"]),
        (
            [f"--{LAYER}.init_args.width", "abc"],
            [f"{LAYER}.init_args.width in the command line", "int", "abc"],
        ),
        (["--trainer.max_steps", "abc"], ["trainer.max_steps in the command line", "int", "abc"]),
        (
            ["--data", "mmgraph.datasets.shapez"],
            ["data in the command line", "'shapez'", "mmgraph.datasets", "Known:"],
        ),
        ([f"--{LAYER}", "tiny.Layr"], [f"{LAYER} in the command line", "'Layer'"]),
        ([f"--{LAYER}", "tiny.TinyDataset"], [LAYER, "tiny.TinyDataset"]),
        (["--data.init_args.batch_size", "0"], ["batch_size must be at least 1"]),
        (
            ["--data.init_args.batch_size", "${nope.x}"],
            ["data.init_args.batch_size", "${nope.x}", "cannot be resolved"],
        ),
        (["--trainer.precision", "99"], ["precision"]),
        (["--trainer.accelerator", "nonsense"], ["nonsense"]),
        (["--resum", "true"], ["unknown key 'resum'", "'resume'"]),
        (["--seed", "-1"], ["--seed must be 0 or more"]),
    ],
)
def test_wrong_override_is_named(tiny, arguments, told):
    result = tiny("fit", "--run", "out", *arguments)
    assert result.status == 2, result.err
    assert "Traceback" not in result.err
    for words in told:
        assert words in result.err, result.err


def test_parts_that_disagree_are_refused_in_the_model_s_own_words(command, tmp_path):
    plan = yaml.safe_load((HERE / "unified.yaml").read_text(encoding="utf-8"))
    plan["data"] = {"class_path": "mmgraph.datasets.shapes", "init_args": {"image_size": 16, "num_scenes": 200}}
    plan["model"]["init_args"]["heads"]["image"] = {"class_path": "mmgraph.heads.next_token"}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan), encoding="utf-8")
    result = command("fit", "-c", tmp_path / "plan.yaml", "--run", tmp_path / "out")
    assert result.status == 2, result.err
    assert result.err.startswith("mmgraph: the configuration is refused: head 'image' (NextTokenHead) models codes")
    assert "Union" not in result.err, "the parser wraps it in a page about types"
    assert len(result.err) < 300, result.err


def test_a_sampler_with_its_options_is_one_line(command, tmp_path):
    plan = yaml.safe_load((HERE / "unified.yaml").read_text(encoding="utf-8"))
    options = {"algorithm_type": "sde-dpmsolver++", "solver_order": 1, "flow_shift": 2.5, "euler_at_final": True}
    sampler = {"sampler": "DPMSolverMultistepScheduler", "sampler_options": options}
    head = {"class_path": "mmgraph.heads.flow", "init_args": sampler}
    plan["model"]["init_args"]["heads"]["image"] = head
    flags = ("--plugins", template() / "mmgraph_template" / "squares.py", "fit")
    for name, expected in ((sampler["sampler"], 0), ("DPMSolverMultistep", 2)):
        sampler["sampler"] = name
        (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan), encoding="utf-8")
        run = tmp_path / str(expected)
        result = command(*flags, "-c", tmp_path / "plan.yaml", "--run", run, "--trainer.max_steps", 1)
        assert result.status == expected, result.err
    assert "diffusers has no sampler 'DPMSolverMultistep'. Did you mean 'DPMSolverMultistepScheduler'" in result.err
    written = yaml.safe_load((tmp_path / "0" / "config.yaml").read_text(encoding="utf-8"))
    found = written["model"]["init_args"]["heads"]["image"]["init_args"]["sampler_options"]
    assert found == options
    assert {key: type(value) for key, value in found.items()} == {key: type(value) for key, value in options.items()}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"trainer": {"max_stepz": 3}}, ["unknown key 'max_stepz' in trainer", "'max_steps'", "wrong.yaml"]),
        ({"modle": {}}, ["unknown key 'modle', from wrong.yaml", "'model'"]),
        ({"model": {"class_path": "tiny.TinyModle"}}, ["model in wrong.yaml", "'TinyModel'"]),
        ({"model": {"class_path": "tiny.TinyModel", "width": 3}}, ["'width' in model", "init_args"]),
        (
            {"data": {"init_args": {"batch_size": "many"}}},
            ["data.init_args.batch_size in wrong.yaml", "int", "many"],
        ),
        (
            {"data": {"init_args": {"batch_size": "${model.nope}"}}},
            ["data.init_args.batch_size", "${model.nope}"],
        ),
        (
            {"trainer": {"callbacks": [{"class_path": "mmgraph.models.EMA", "init_args": {"dekay": 0.1}}]}},
            ["'dekay' in trainer.callbacks.0.init_args (mmgraph.models.EMA)", "'decay'"],
        ),
        (
            {"trainer": {"callbacks": [{"class_path": "mmgraph.heads.flwo"}]}},
            ["trainer.callbacks.0 in wrong.yaml", "'flwo'", "mmgraph.heads"],
        ),
    ],
)
def test_wrong_file_is_named(tiny, tmp_path, change, told):
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(change))
    result = tiny("fit", "-c", "wrong.yaml", "--run", "out")
    assert result.status == 2, result.err
    for words in told:
        assert words in result.err, result.err


@pytest.mark.parametrize(
    "path",
    [
        "os.system",
        "torch.hub.load",
        "torch.utils.cpp_extension.load",
        "torch.load",
        "builtins.eval",
        "pickle.loads",
    ],
)
@pytest.mark.parametrize("place", ["layer", "activation", "anything", "callbacks", "data", "model"])
def test_code_named_in_yaml_is_refused(tiny, tmp_path, path, place):
    item = {"class_path": path, "init_args": {"command": "touch fired"}}
    values = {
        "callbacks": {"trainer": {"callbacks": [item]}},
        "data": {"data": item},
        "model": {"model": item},
    }.get(place, {"model": {"init_args": {place: item}}})
    (tmp_path / "evil.yaml").write_text(yaml.safe_dump(values))
    result = tiny("fit", "-c", "evil.yaml", "--run", "out")
    assert result.status == 2, result.err
    assert f"'{path}' may not be named" in result.err
    assert "evil.yaml" in result.err
    assert "Traceback" not in result.err
    assert not (tmp_path / "fired").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("path", ["os.system", "torch.hub.load", "lightning.pytorch.cli.os.system"])
@pytest.mark.parametrize("key", ["activation", "layer"])
def test_code_named_as_a_string_is_refused(tiny, path, key):
    result = tiny("fit", f"--model.init_args.{key}", path, "--run", "out")
    assert result.status == 2
    assert path in result.err


def test_broken_and_doubled_plugins_are_told_and_others_work(tiny, tmp_path, distribution):
    part = "import nowhere_to_be_found\n"
    distribution("breaks", {"broken_callback.py": part}, {"blocks": {"broken": "broken_callback:Part"}})
    for name in ("one", "two"):
        distribution(name, {f"{name}_part.py": "class Part: ..."}, {"blocks": {"shared": f"{name}_part:Part"}})
    for alias, told in (
        ("broken", "distribution 'breaks' 1.0 cannot be imported"),
        ("shared", "two distributions claim"),
    ):
        result = tiny("fit", "--run", "out", f"--{LAYER}", f"mmgraph.blocks.{alias}")
        assert result.status == 2
        assert f"{LAYER} in the command line" in result.err
        assert told in result.err
    assert tiny("fit", "--run", "out", "--trainer.max_steps", 1).status == 0


def test_missing_option_is_named(command, tmp_path):
    (tmp_path / "short.yaml").write_text("model: {class_path: tiny.TinyModel}\n")
    result = command("--plugins", HERE / "tiny.py", "fit", "-c", "short.yaml", "--run", "out")
    assert result.status == 2
    assert "layer" in result.err
    assert len(result.err) < 300


def test_yaml_tags_run_nothing(tiny, tmp_path):
    (tmp_path / "tag.yaml").write_text("model: !!python/object/apply:os.system ['touch fired']\n")
    result = tiny("fit", "-c", "tag.yaml", "--run", "out")
    assert result.status == 2
    assert "tag.yaml is no YAML" in result.err
    assert not (tmp_path / "fired").exists()


def test_dropped_options_are_told(tiny, tmp_path):
    (tmp_path / "first.yaml").write_text(
        yaml.safe_dump({"model": {"init_args": {"layer": {"init_args": {"dropout": 0.1}}}}})
    )
    result = tiny(
        "fit",
        "-c",
        "first.yaml",
        f"--{LAYER}",
        "tiny.WideLayer",
        f"--{LAYER}.init_args.gain",
        2,
        "--trainer.max_steps",
        1,
    )
    assert result.status == 0, result.err
    assert f"{LAYER}.init_args.dropout = 0.1 (first.yaml) is dropped: tiny.WideLayer has no such option" in result.err


def test_unknown_recipe_offers_the_nearest(command, monkeypatch):
    result = command("fit", "-c", "transfusoin")
    assert result.status == 2
    assert "there is no recipe 'transfusoin'" in result.err


def test_missing_and_unreadable_files(tiny, tmp_path):
    assert "there is no configuration file absent.yaml" in tiny("fit", "-c", "absent.yaml").err
    (tmp_path / "list.yaml").write_text("- 1\n")
    assert "holds no configuration" in tiny("fit", "-c", "list.yaml").err
    (tmp_path / "bad.yaml").write_text("model: [1,\n")
    result = tiny("fit", "-c", "bad.yaml")
    assert result.status == 2
    assert "bad.yaml is no YAML" in result.err


def test_nothing_to_train_is_told(command):
    result = command("fit")
    assert result.status == 2
    assert "-c RECIPE" in result.err


def test_print_config_with_comments(tiny):
    result = tiny("fit", "--print_config=comments")
    assert result.status == 0
    assert "# Of AdamW" in result.out
    assert yaml.safe_load(result.out)["model"]["class_path"] == "tiny.TinyModel"


def test_help_lists_own_and_trainer_flags(command):
    result = command("fit", "--help")
    assert result.status == 0
    for flag in ("--run", "--seed", "--resume", "--overwrite", "--trainer.max_steps", "-c"):
        assert flag in result.out


def test_unexpected_failure_is_one_line_and_debug_shows_the_traceback(tiny, command, monkeypatch):
    import tiny as module

    def broken(self, batch, batch_idx):
        raise KeyError("lost")

    monkeypatch.setattr(module.TinyModel, "training_step", broken)
    plain = tiny("fit", "--run", "out")
    assert plain.status == 1
    assert "KeyError" in plain.err
    assert "--debug" in plain.err
    assert "Traceback" not in plain.err
    shown = command("--debug", "--plugins", HERE / "tiny.py", "fit", "-c", HERE / "tiny.yaml", "--run", "other")
    assert shown.status == 1
    assert "Traceback" in shown.err
