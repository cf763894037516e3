"""A picture is given, and the same thing is wanted elsewhere: joined models, one single model, and a tool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from mmgraph import generation
from mmgraph.cli import training
from mmgraph.datasets import shapes
from mmgraph.evaluation import evaluate
from mmgraph.evaluation.examples import requests
from mmgraph.models import UnifiedModel, load
from mmgraph.sequence import Sample, Segment
from tests import tiny

WORLD = {"num_scenes": 60, "evaluation_scenes": 3, "max_objects": 1, "num_colours": 4, "num_shapes": 4}
OPTIONS: dict[str, Any] = {**WORLD, "shades": 3, "image_size": 24, "world_seed": 1, "protocol": "random"}
SMALL = {"dim": 32, "depth": 1}
RECIPES = ("metaquery", "omnigen2", "kosmos_g", "seed_x", "transfusion_ddpm")


def fit(name: str, run: Path, **changes: Any) -> UnifiedModel:
    """Train a recipe for two steps on requests alone, its width and depth made small."""
    changes = {f"model.init_args.{key}": value for key, value in SMALL.items()} | changes
    arguments = ["fit", "-c", name, "--run", str(run), "--trainer.max_steps", "2"]
    for key, value in changes.items():
        arguments += [f"--{key}", value if isinstance(value, str) else json.dumps(value)]
    for key, value in {**OPTIONS, "batch_size": 4}.items():
        arguments += [f"--data.init_args.{key}", str(value)]
    assert training.run(arguments[0], arguments[1:]) == 0
    model = load(run)
    assert isinstance(model, UnifiedModel)
    return model


def drawn(model: UnifiedModel, given: tuple[Segment, ...]) -> torch.Tensor:
    sample = Sample((*given, Segment("image", None, target=True)), "move", 0)
    (found,) = generation.complete(model, [sample], num_steps=2, guidance=2.0)
    return found


@pytest.mark.parametrize("name", RECIPES)
def test_a_request_trains_and_draws(name: str, tmp_path: Path) -> None:
    moves: dict[str, Any] = {"data.init_args.tasks": {"move": 1}}
    if name in ("metaquery", "omnigen2", "kosmos_g"):
        moves["model.init_args.stages"] = [{"tasks": {"move": 1}}]
    model = tiny.perplexing(fit(name, tmp_path / name, **moves))  # what starts at zero would hide who reads what
    data = shapes(4, {"move": 1}, **OPTIONS)
    asked = requests(data, "test", "move")
    first, other = (drawn(model, one.given) for one in asked[:2])
    assert first.shape == (3, 24, 24)
    swapped = drawn(model, (asked[1].given[0], asked[0].given[1]))
    assert not torch.equal(first, other)
    assert not torch.equal(first, swapped), "the given picture does not reach what is drawn"


def test_a_tool_is_told_in_words_alone(tmp_path: Path) -> None:
    fit("transfusion_ddpm", tmp_path / "tool", **{"data.init_args.tasks": {"draw": 1}})
    changes = {
        "data.class_path": "mmgraph.datasets.shapes",
        "data.init_args.tasks": {"move": 1, "draw": 1},
        "data.init_args.spell_out": True,
        "model.init_args.sampling": {"max_text": 16},  # no more than the tool can read
        "model.init_args.tools.image.init_args.weights": f"run:{tmp_path / 'tool'}",
    }
    model = fit("visual_chatgpt", tmp_path / "chat", **changes)
    asked = requests(shapes(4, {"move": 1}, **OPTIONS, spell_out=True), "test", "move")
    opened = [Sample((*one.given, Segment("image", None, target=True)), "move", 0) for one in asked]
    (said,) = generation.tool_prompts(model, opened[:1])
    found = drawn(model, asked[0].given)
    assert torch.equal(found, generation.draw(model.tools["image"].model, [said], num_steps=2, guidance=2.0)[0])
    metrics = evaluate(tmp_path / "chat", limit=2, num_steps=1, metrics=[])
    assert set(metrics["losses"]["move"]) == {"text"}
    shade = metrics["drawing"]["move"]["unseen"]["oracle_shade"]
    assert shade["baselines"]["given_picture"] == shade["baselines"]["real"] == 1.0
