"""Every recipe, the zoo, and what stands in their headers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mmgraph import recipes, zoo
from mmgraph.cli import training


@pytest.mark.slow
@pytest.mark.parametrize("name", recipes.names())
def test_two_steps_of_a_recipe(name: str, tmp_path: Path) -> None:
    run = tmp_path / name
    status = training.run("fit", ["-c", name, "--trainer.max_steps", "2", "--run", str(run)])
    assert status == 0
    assert json.loads((run / "training.json").read_text())["steps"] == 2
    from mmgraph.models import load

    model = load(run)
    assert all(torch.isfinite(value).all() for value in model.state_dict().values() if value.is_floating_point())


@pytest.mark.parametrize("name", recipes.names())
def test_a_header_names_paper_and_what_it_shows(name: str) -> None:
    header = [line for line in recipes.find(name).read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    text = "\n".join(header)
    for word in ("Paper:", "Shows:", "Time:", "Memory:", "Expect:"):
        assert word in text, f"the header of recipe '{name}' has no line '{word}'"


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo.names())
def test_a_zoo_model_loads_and_is_small(name: str) -> None:
    from mmgraph.models import load

    folder = zoo.find(name)
    assert (folder / "model.safetensors").stat().st_size < 16e6
    model = load(f"zoo:{name}")
    assert not model.training


def test_the_zoo_is_under_20_megabytes() -> None:
    assert sum((zoo.find(name) / "model.safetensors").stat().st_size for name in zoo.names()) < 20e6
