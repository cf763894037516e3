from __future__ import annotations

import copy

import pytest
import torch
import yaml

from mmgraph import imports
from mmgraph.configured import Configured, class_path, config_of, instantiate
from mmgraph.errors import UsageError
from mmgraph.heads import flow
from mmgraph.models import Optimization, UnifiedModel
from mmgraph.tokenizers import pca, word
from tests import tiny


class Part(Configured):
    def __init__(self, size: int = 1, *, names: tuple[str, ...] = ("a",)) -> None:
        self.size = size


class Wider(Part):
    def __init__(self, factor: int = 2) -> None:
        super().__init__(size=factor * 10)


class Whole(Configured):
    def __init__(self, part: Part, options: dict[str, Part] | None = None) -> None:
        self.part = part


def test_what_was_given_and_the_defaults():
    assert config_of(flow("velocity", clip=0.2)) == {
        "class_path": "mmgraph.heads.flow",
        "init_args": {
            "prediction": "velocity",
            "time_mean": 0.0,
            "time_std": 1.0,
            "clip": 0.2,
            "sampler": "euler",
            "sampler_options": None,
        },
    }


def test_the_outermost_constructor_is_recorded():
    config = config_of(Wider(3))
    assert config["init_args"] == {"factor": 3}
    assert config["class_path"] == f"{__name__}.Wider"
    assert config_of(pca(16, 4))["init_args"]["components"] == 48  # not those of the class it extends


def test_nested_parts():
    config = config_of(Whole(Part(2), {"more": Wider()}))
    assert config["init_args"]["part"]["init_args"] == {"size": 2, "names": ["a"]}
    assert config["init_args"]["options"]["more"]["init_args"] == {"factor": 2}


def test_a_copy_has_the_same_configuration():
    part = Whole(Part(4))
    assert config_of(copy.deepcopy(part)) == config_of(part)


def test_a_whole_model_survives_yaml():
    model = tiny.model(optimization=Optimization(0.5), condition_dropout={"text": 0.25})
    config = config_of(model)
    again = instantiate(yaml.safe_load(yaml.safe_dump(config)))
    assert isinstance(again, UnifiedModel)
    assert config_of(again) == config
    assert again.optimization == Optimization(0.5)


def test_names():
    assert class_path(word) == "mmgraph.tokenizers.word"
    assert class_path(UnifiedModel) == "mmgraph.models.UnifiedModel"
    assert class_path(Optimization) == "mmgraph.models.Optimization"


def test_a_part_that_does_not_know_how_it_was_made():
    with pytest.raises(UsageError, match=r"torch\.nn\.modules\.linear\.Linear cannot be written"):
        config_of(Whole(torch.nn.Linear(1, 1)))  # type: ignore[arg-type]


def test_an_argument_the_class_does_not_take():
    with pytest.raises(UsageError, match=r"mmgraph\.heads\.flow cannot be built.*'speed'"):
        instantiate({"class_path": "mmgraph.heads.flow", "init_args": {"speed": 1}})


@pytest.mark.parametrize("path", ["os.system", "torch.hub.load", "torch.utils.cpp_extension.load"])
def test_what_runs_code_is_refused(path):
    with pytest.raises(UsageError, match=path.split(".")[-1]):
        instantiate({"tokenizers": [{"class_path": path, "init_args": {"command": "false"}}]})


def test_a_module_given_with_plugins_may_be_named():
    config = config_of(Wider(5))
    with pytest.raises(UsageError, match="may not be named"):
        instantiate(config)
    imports.allow(__name__)
    try:
        assert instantiate(config).size == 50
    finally:
        imports._named.discard(__name__)


def test_so_may_groups_that_have_names():
    relations = {"alike": {"factor": "colour", "homophily": 1.0}}
    config = {"class_path": "mmgraph.datasets.synthetic_graph", "init_args": {"num_nodes": 60, "relations": relations}}
    assert instantiate(config).graph.relations == ("alike", "noise")
    relations["alike"]["homofily"] = 1.0
    with pytest.raises(UsageError, match=r"Relation cannot be built from its configuration.*homofily"):
        instantiate(config)


def test_groups_of_options_may_be_plain_mappings_as_in_recipes():
    config = config_of(tiny.model())
    config["init_args"] |= {
        "optimization": {"learning_rate": 0.5},
        "stages": [{"steps": 1, "train": ["connectors"]}, {}],
        "start_from": [{"weights": "zoo:ae", "part": "blocks"}],
    }
    model = instantiate(config)
    assert model.optimization == Optimization(learning_rate=0.5)
    assert [stage.train for stage in model.stages] == [["connectors"], ("*",)]
    assert model.start_from[0].part == "blocks"
    config["init_args"]["optimization"] = {"rate": 0.5}
    with pytest.raises(UsageError, match=r"Optimization cannot be built from its configuration.*rate"):
        instantiate(config)
