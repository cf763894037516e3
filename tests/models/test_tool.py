"""A model that writes what another is to draw."""

from __future__ import annotations

import pytest
import torch
import yaml

from mmgraph import generation
from mmgraph.cli import generate
from mmgraph.errors import UsageError
from mmgraph.heads import flow, next_token
from mmgraph.models import Tool, load, save
from mmgraph.processors import single, written_prompt
from mmgraph.sequence import Sample, Segment
from mmgraph.vocabulary import BOS, EOS, SEP
from tests import tiny


@pytest.fixture(scope="module")
def drawer(tmp_path_factory):
    return save(tiny.model(), tmp_path_factory.mktemp("tool") / "drawer")


@pytest.fixture(scope="module")
def model(drawer):
    parts = {"heads": {"text": next_token()}, "tools": {"image": Tool(f"run:{drawer}")}}
    return tiny.model(processor=written_prompt(single()), **parts)


def prompts() -> list[Sample]:
    drawn = Segment("image", None, target=True)
    return [Sample((Segment("text", words), drawn), "draw", key) for key, words in enumerate(("a red fox", "fox"))]


def test_what_is_learnt_is_the_prompt(model):
    assembly = model.assemble([tiny.samples()[0]])
    (scored,) = assembly.scored
    (ids,) = assembly.ids.tolist()
    fox = ids[1:4]
    assert ids == [BOS, *fox, SEP, *fox, EOS]
    assert scored.head == "text"
    assert scored.prepared.targets.tolist() == [[*fox, EOS]]


def test_the_tool_draws_what_was_written_and_nothing_else_is_told(model):
    said = generation.tool_prompts(model, prompts())
    assert len(said) == 2
    written = generation.write(
        model, [Sample((p.segments[0], Segment("text", None, target=True)), "draw", p.key) for p in prompts()]
    )
    assert said == [text for text, _ in written]
    options = {"num_steps": 3, "guidance": 1.5, "seed": 4}
    found = generation.draw(model, ["a red fox", "fox"], **options)
    assert torch.equal(found, generation.draw(model.tools["image"].model, said, **options))


def test_each_step_of_the_tool_is_shown(model):
    seen = []
    shown = list(generation.paint(model, prompts(), num_steps=3, watch=lambda tokens, time: seen.append(time)))
    assert len(shown) == 3
    assert len(seen) == 3
    assert shown[0].shape == (2, 3, 8, 8)


def test_a_model_without_a_tool_asks_nothing():
    assert generation.tool_prompts(tiny.model(), prompts()) == []


def test_the_tool_never_learns(model):
    model.train()
    assert not any(part.training for part in model.tools.modules() if part is not model.tools)
    assert not any(parameter.requires_grad for parameter in model.tools.parameters())
    model.eval()
    found, _ = model.losses(model.assemble(tiny.samples(), training=True))
    assert set(found) == {"text"}


def test_saved_it_carries_the_tool_along(model, tmp_path):
    save(model, tmp_path / "chat")
    config = yaml.safe_load((tmp_path / "chat" / "config.yaml").read_text())
    tool = config["init_args"]["tools"]["image"]["init_args"]
    assert tool["weights"] == "none"
    assert tool["model"]["class_path"] == "mmgraph.models.UnifiedModel"
    again = load(tmp_path / "chat")
    options = {"num_steps": 2, "seed": 1}
    assert torch.equal(generation.draw(again, ["fox"], **options), generation.draw(model, ["fox"], **options))
    assert not any(parameter.requires_grad for parameter in again.tools.parameters())


def test_the_command_line_tells_what_was_asked(model, tmp_path, capsys):
    save(model, tmp_path / "chat")
    out = tmp_path / "drawn.png"
    assert generate.run("generate", ["--run", str(tmp_path / "chat"), "--steps", "1", "--out", str(out), "fox"]) == 0
    (said,) = generation.tool_prompts(model, [Sample(prompts()[1].segments, "draw", 0)])
    assert f"for 'fox' the tool was asked to draw '{said}'" in capsys.readouterr().out


def test_what_does_not_fit_is_refused(drawer, tmp_path):
    with pytest.raises(UsageError, match="a tool is a saved model: give its weights"):
        Tool()
    writer = save(tiny.model(heads={"text": next_token()}), tmp_path / "writer")
    with pytest.raises(UsageError, match="writer has no head that draws"):
        Tool(str(writer))
    with pytest.raises(UsageError, match="'image' is drawn by a head and by a tool"):
        tiny.model(heads={"text": next_token(), "image": flow()}, tools={"image": Tool(str(drawer))})
