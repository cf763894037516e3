"""generate, ask, evaluate, inspect and quickstart: what they read, what they call, what they write."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from mmgraph.cli.ask import read, resize
from mmgraph.cli.generate import guidance, write

from .conftest import HERE


class Model:
    """Stands for a loaded model."""

    tokenizers = {"image": types.SimpleNamespace(modality="image", image_size=8)}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Put recorders in the place of what the verbs call."""
    from mmgraph import evaluation, generation, models

    found: list[tuple[str, Any]] = []

    def draw(model, captions, **options):
        found.append(("draw", (captions, options)))
        return torch.zeros(len(captions), 3, 8, 8, dtype=torch.uint8)

    def ask(model, pictures, questions):
        found.append(("ask", (pictures, questions)))
        return ["green"]

    def name(model, pictures):
        found.append(("name", pictures))
        return ["a square"]

    monkeypatch.setattr(models, "load", lambda reference: found.append(("load", reference)) or Model(), raising=False)
    monkeypatch.setattr(generation, "draw", draw)
    monkeypatch.setattr(generation, "ask", ask)
    monkeypatch.setattr(generation, "name", name)

    def evaluate(run, *, command, progress, **options):
        progress("drawing")
        found.append(("evaluate", (run, options)))
        return {
            "generation": {"unseen": {"r10": {"value": 0.5, "chance": 0.067}, "odd": {"value": 2.0}}},
            "legend": {
                "r10": {"label": "R@10", "headline": True},
                "odd": {"label": "Odd", "headline": False},
            },
            "understanding": {"colour": {"accuracy": 0.75, "chance": 0.25}},
        }

    monkeypatch.setattr(evaluation, "evaluate", evaluate, raising=False)
    return found


def test_generate_passes_only_what_was_given(command, calls, tmp_path):
    result = command("generate", "--run", "zoo:some", "red heart", "cat")
    assert result.status == 0, result.err
    assert calls == [("load", "zoo:some"), ("draw", (["red heart", "cat"], {"seed": 0}))]
    with Image.open(tmp_path / "generated.png") as image:
        assert image.size == (64, 32)


def test_generate_options(command, calls, tmp_path):
    flags = ["--guidance", "text=2.5,graph=1.5", "--steps", "7", "--seed", "3", "--out", "deep/a.png"]
    assert command("generate", "--run", "x", *flags, "a").status == 0
    given = {"guidance": {"text": 2.5, "graph": 1.5}, "num_steps": 7, "seed": 3}
    assert calls[1] == ("draw", (["a"], given))
    assert (tmp_path / "deep" / "a.png").is_file()
    assert guidance("2.5") == 2.5


def test_pictures_keep_their_order_and_colours(tmp_path):
    pictures = torch.zeros(2, 3, 2, 2, dtype=torch.uint8)
    pictures[0, 0] = 255
    pictures[1, 2] = 255
    write(tmp_path / "two.png", pictures, scale=1)
    with Image.open(tmp_path / "two.png") as image:
        assert [image.getpixel((x, 0)) for x in range(4)] == [(255, 0, 0)] * 2 + [(0, 0, 255)] * 2


def test_ask_and_name(command, calls, tmp_path):
    Image.new("RGBA", (16, 8), (0, 255, 0, 255)).save(tmp_path / "green.png")
    asked = command("ask", "--run", "x", "green.png", "which colour?")
    assert asked.status == 0, asked.err
    assert asked.out == "green\n"
    pictures, questions = calls[1][1]
    assert pictures.shape == (1, 3, 8, 8)
    assert questions == ["which colour?"]
    assert command("ask", "--run", "x", "green.png").out == "a square\n"


def test_transparent_parts_are_white_and_sides_are_padded(tmp_path):
    Image.new("RGBA", (16, 8), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert bool((read(tmp_path / "clear.png") == 255).all())
    black = torch.zeros(3, 4, 8, dtype=torch.uint8)
    small = resize(black, Model())
    assert small.shape == (3, 8, 8)
    assert bool((small[:, 2:6] == 0).all())
    assert bool((small[:, [0, 7]] == 255).all())


def test_evaluate(command, calls, tmp_path):
    (tmp_path / "run").mkdir()
    result = command("evaluate", "--run", "run", "--split", "val", "--limit", "5", "--guidance", "2")
    assert result.status == 0, result.err
    assert calls == [("evaluate", (Path("run"), {"split": "val", "seed": 0, "limit": 5, "guidance": 2.0}))]
    assert "run/report.html" in result.out
    assert "evaluating: drawing" in result.err
    lines = [line.split() for line in result.out.splitlines()]
    assert ["draw,", "unseen", "R@10", "0.500", "0.067"] in lines
    assert ["answer,", "unseen", "colour", "0.750", "0.250"] in lines
    assert "Odd" not in result.out


def test_inspect_builds_the_recipe(command, calls, monkeypatch):
    seen = []
    module = types.ModuleType("mmgraph.inspection")
    module.inspect = lambda model, dataset, out: seen.append((model, dataset, out)) or "what it sees"
    monkeypatch.setitem(sys.modules, "mmgraph.inspection", module)
    monkeypatch.setattr("mmgraph.inspection", module, raising=False)
    flags = ["--data.init_args.batch_size", "2", "--out", "a.png"]
    result = command("--plugins", HERE / "tiny.py", "inspect", "-c", HERE / "tiny.yaml", *flags)
    assert result.status == 0, result.err
    assert "what it sees" in result.out
    ((model, dataset, out),) = seen
    assert type(model).__name__ == "TinyModel"
    assert dataset.batch_size == 2
    assert out == Path("a.png")


def test_quickstart_trains_and_evaluates(command, calls, monkeypatch, tmp_path):
    monkeypatch.setattr("mmgraph.cli.quickstart.RECIPE", str(HERE / "tiny.yaml"))
    flags = ["--seed", "1", "--trainer.max_steps", "2"]
    result = command("--plugins", HERE / "tiny.py", "quickstart", *flags)
    assert result.status == 0, result.err
    assert calls == [("evaluate", (Path("runs/tiny/1"), {"split": "test"}))]
    assert (tmp_path / "runs" / "tiny" / "1" / "model" / "model.safetensors").is_file()
    assert "runs/tiny/1/report.html" in result.out
    again = command("--plugins", HERE / "tiny.py", "quickstart", *flags)
    assert again.status == 2
    assert "--overwrite" in again.err


def test_interrupted_quickstart_does_not_evaluate(command, calls, monkeypatch):
    monkeypatch.setattr("mmgraph.cli.quickstart.RECIPE", str(HERE / "tiny.yaml"))
    flags = ["--run", "quick", "--model.init_args.signal_at", "1"]
    assert command("--plugins", HERE / "tiny.py", "quickstart", *flags).status == 130
    assert calls == []
