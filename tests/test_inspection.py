from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmgraph.blocks import dense
from mmgraph.datasets import Dataset
from mmgraph.heads import next_token
from mmgraph.inspection import costs, draw_samples, inspect, report
from mmgraph.inspection.details import follow
from mmgraph.inspection.views import look, ranges, spell
from mmgraph.models import Sampling, UnifiedModel
from mmgraph.processors import single
from mmgraph.sequence import Layout, Sample, Segment
from mmgraph.testing.stand_ins import pictures
from mmgraph.tokenizers import byte, word
from mmgraph.vocabulary import BOI
from tests import tiny


class InMemory(Dataset):
    """The tiny samples as a stream."""

    def __init__(self, samples: Sequence[Sample], batch_size: int = 4) -> None:
        super().__init__(
            batch_size, {task: 1.0 for task in self.supported_tasks if any(s.task == task for s in samples)}
        )
        self.samples = list(samples)

    def items(self, split: str) -> Sequence[Sample]:
        return self.samples

    def sample(self, split: str, item: Any, task: str, rng: random.Random) -> Sample:
        fitting = [sample for sample in self.samples if sample.task == task]
        return item if item.task == task else rng.choice(fitting)

    def contents(self, modality: str) -> Iterable[Any]:
        return (s.content for sample in self.samples for s in sample.segments if s.modality == modality)

    def evaluation(self, split: str, task: str, limit: int | None = None) -> list[Sample]:
        return [sample for sample in self.samples if sample.task == task][:limit]


@pytest.fixture
def tiny_model() -> UnifiedModel:
    """The tiny model, drawing in two steps."""
    return tiny.model(sampling=Sampling(num_steps=2))


def drawing() -> Sample:
    """Text of three words, then a picture of four tokens."""
    picture = tiny.aim(Segment("image", pictures(1, tiny.SIZE)[0]))
    return Sample((Segment("text", "a red fox"), picture), "draw", 3)


def text_model(dim: int = 16, depth: int = 2, block: Any = None) -> UnifiedModel:
    """A model of bytes alone."""
    torch.manual_seed(0)
    model = UnifiedModel(
        single(("text",), ()),
        {"text": byte()},
        block=block or dense(2),
        heads={"text": next_token()},
        dim=dim,
        depth=depth,
    )
    model.build()
    return model


def spoken(text: str, key: int = 0) -> Sample:
    return Sample((Segment("text", text, target=True),), "name", key)


# -- what is seen -------------------------------------------------------------------------------------------


def test_pieces_name_every_position_of_a_drawing_sample(tiny_model: UnifiedModel) -> None:
    view = look(tiny_model, drawing())
    seen = [(piece.start, piece.stop, piece.label, piece.role, piece.order) for piece in view.pieces]
    assert seen == [
        (0, 1, "<bos>", "context", "causal"),
        (1, 4, "text", "context", "causal"),
        (4, 5, "<boi>", "context", "causal"),
        (5, 9, "image 2x2", "target", "full"),
        (9, 10, "<eoi>", "context", "causal"),
        (10, 11, "<eos>", "context", "causal"),
    ]
    assert view.pieces[1].words == ("a", "red", "fox")


def test_scored_positions_are_those_that_predict_and_what_they_predict(tiny_model: UnifiedModel) -> None:
    scored = {found.head: found for found in look(tiny_model, drawing()).scored}
    assert scored["text"].states == (3, 9)
    assert scored["text"].tokens == (4, 10)
    assert scored["text"].words == ("<boi>", "<eos>")
    assert scored["image"].states == scored["image"].tokens == (5, 6, 7, 8)
    assert scored["image"].against == "4 vectors of width 48"


def test_an_answer_is_scored_from_the_position_before_it(tiny_model: UnifiedModel) -> None:
    image, question = Segment("image", pictures(1, tiny.SIZE)[0]), Segment("text", "is it red ?")
    sample = Sample((image, question, tiny.aim(Segment("text", "yes"))), "ask")
    (scored,) = look(tiny_model, sample).scored
    assert (scored.states, scored.words) == ((11, 12), ("yes", "<eos>"))


def test_the_mask_is_a_staircase_with_one_block(tiny_model: UnifiedModel) -> None:
    mask = look(tiny_model, drawing()).mask
    expected = torch.ones(11, 11).tril().bool()
    expected[5:9, 5:9] = True
    assert torch.equal(mask, expected)


def test_time_and_prefix_are_told_of_what_is_denoised_only(tiny_model: UnifiedModel) -> None:
    drawn = look(tiny_model, drawing()).pieces[3]
    assert drawn.static_prefix is True
    assert 0 < drawn.time < 1
    given = Sample((Segment("image", pictures(1, tiny.SIZE)[0]), tiny.aim(Segment("text", "fox"))), "name")
    read = look(tiny_model, given).pieces[2]
    assert (read.label, read.time, read.static_prefix) == ("image 2x2", 1.0, None)


def test_words_markers_and_blanks_are_spelled(tiny_model: UnifiedModel) -> None:
    offset = tiny_model.vocabulary.offsets["text"]
    code = int(tiny_model.tokenizers["text"].encode(["fox"])[0])
    assert (spell(tiny_model, BOI), spell(tiny_model, offset + code)) == ("<boi>", "fox")
    model = text_model()
    assert spell(model, model.vocabulary.offsets["text"] + ord(" ")) == "␣"


def test_ranges() -> None:
    assert ranges([0, 1, 2, 5, 7, 8]) == "0-2, 5, 7-8"
    assert ranges([]) == ""


# -- what it costs ------------------------------------------------------------------------------------------


def test_operations_of_a_text_step_agree_with_the_closed_form() -> None:
    dim, depth, text = 16, 2, "abcdefghij"
    model = text_model(dim, depth)
    found = costs.measure(model, [spoken(text, key) for key in range(3)], [])
    rows, length, scored = 3, len(text) + 2, len(text) + 1
    inner = model.blocks[0].down.in_features
    matrices = 2 * rows * length * (4 * dim**2 + 3 * dim * inner) * depth
    attention = 2 * 2 * rows * length**2 * dim * depth
    assert found.forward == matrices + attention + 2 * rows * scored * dim * model.vocabulary.size
    # backward: each product twice; attention's kernel computes the scores once more
    assert found.backward == 2 * (found.forward - attention) + attention * 5 // 2
    assert (found.picture, found.uncounted) == (None, ())


def test_parts_add_up_to_the_model(tiny_model: UnifiedModel) -> None:
    parts = costs.parts(tiny_model)
    assert sum(part.total for part in parts) == sum(p.numel() for p in tiny_model.parameters())
    named = {part.name: part for part in parts}
    assert named["connectors.image"].total == 48 * 32 + 32
    assert named["blocks"].kind == "2 x DenseBlock"
    assert named["tokenizers.text"].buffers == tiny_model.tokenizers["text"].words.numel()


def test_frozen_parameters_are_not_counted_as_trained(tiny_model: UnifiedModel) -> None:
    tiny_model.vocabulary.requires_grad_(False)
    named = {part.name: part for part in costs.parts(tiny_model)}
    assert named["vocabulary"].trained == 0 < named["vocabulary"].total


def test_more_steps_of_drawing_cost_in_proportion(make_model: Any) -> None:
    def drawn(steps: int, guidance: float) -> int:
        model = make_model(sampling=Sampling(guidance=guidance, num_steps=steps))
        return costs.measure(model, [drawing()], [drawing()]).picture

    one, two, three = (drawn(steps, 2.0) for steps in (1, 2, 3))
    assert two - one == three - two > 0
    assert drawn(3, 1.0) < three


def test_activations_grow_with_the_batch(tiny_model: UnifiedModel) -> None:
    small, large = (costs.measure(tiny_model, [drawing()] * n, []).activations for n in (1, 8))
    assert 4 * small < large < 9 * small


def test_measuring_leaves_the_model_as_it_was(tiny_model: UnifiedModel) -> None:
    parameters = dict(tiny_model.named_parameters())
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    gradient = torch.ones_like(parameters["blocks.0.down.weight"])
    parameters["blocks.0.down.weight"].grad = gradient
    state = torch.get_rng_state()
    costs.measure(tiny_model, [drawing()], [drawing()])
    assert torch.equal(state, torch.get_rng_state())
    assert not tiny_model.training
    assert all(torch.equal(before[name], parameter) for name, parameter in parameters.items())
    kept = {name for name, parameter in parameters.items() if parameter.grad is not None}
    assert kept == {"blocks.0.down.weight"}
    assert parameters["blocks.0.down.weight"].grad is gradient


@torch.library.custom_op("mmgraph_tests::own_matmul", mutates_args=())
def own_matmul(left: Tensor, right: Tensor) -> Tensor:
    return left @ right


def _keep_matrix(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(inputs[1])


own_matmul.register_autograd(lambda ctx, grad: (grad @ ctx.saved_tensors[0].T, None), setup_context=_keep_matrix)


def test_a_heavy_operation_without_a_formula_is_named() -> None:
    model = text_model()
    model.final_norm = Own(16)
    found = costs.measure(model, [spoken("abc")], [])
    assert found.uncounted == ("own_matmul",)
    assert "own_matmul" in report._costs(found, 1).plain


class Own(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.eye(dim))

    def forward(self, hidden: Tensor) -> Tensor:
        return own_matmul(hidden.flatten(0, 1), self.matrix).view_as(hidden)


# -- what is told -------------------------------------------------------------------------------------------


def test_the_text_tells_every_part_and_fits_its_width(tiny_model: UnifiedModel, tiny_samples: list[Sample]) -> None:
    text = inspect(tiny_model, InMemory(tiny_samples))
    assert max(len(line) for line in text.splitlines()) <= 100
    for part in (
        "Segments",
        "Spans",
        "Positions",
        "Scored",
        "Routing",
        "Parameters",
        "B batch",
        "FLOPs",
        "Cache",
        "drawing",
    ):
        assert part in text
    for task in ("draw", "name", "ask"):
        assert f"task '{task}'" in text
    total = sum(parameter.numel() for parameter in tiny_model.parameters())
    assert f"{total:,}" in text
    assert "a|red|fox" in text


def test_a_text_only_model_is_told_without_pictures() -> None:
    text = inspect(text_model(), InMemory([spoken("abc"), spoken("a b")], batch_size=2))
    assert "drawing" not in text
    assert "a|␣|b" in text or "a|b|c" in text


def test_tokenizers_are_fitted_on_the_data_set(tiny_samples: list[Sample]) -> None:
    model = UnifiedModel(
        single(("text",), ()), {"text": word()}, block=dense(2), heads={"text": next_token()}, dim=16, depth=1
    )
    text = inspect(model, InMemory([spoken("big fox"), spoken("red fox")], batch_size=2))
    assert model.built
    assert "codes of 4" in text  # big, fox, red and the unknown word


def test_so_many_samples_of_each_task_are_shown(tiny_samples: list[Sample]) -> None:
    shown = draw_samples(InMemory(tiny_samples), 2)
    assert [sample.task for sample in shown] == ["draw", "draw", "name", "name", "ask", "ask"]


class Routed(dense):  # type: ignore[misc]
    """Text to expert 0, everything else to expert 1."""

    def spawn(self) -> Routed:
        return Routed(self.num_heads)

    def route(self, layout: Layout) -> Tensor:
        return (layout.modality > 0).long()


def test_routing_is_told_by_modality_and_role(make_model: Any) -> None:
    text = inspect(make_model(block=Routed(4), sampling=Sampling(num_steps=2)), InMemory([drawing()], batch_size=1))
    assert "routed" in text
    rows = {line.split("  ")[0].strip(): line.split() for line in text.splitlines() if line.startswith(" expert")}
    assert rows["expert 0"][-3:] == ["7", "0", "7"]
    assert rows["expert 1"][-3:] == ["0", "4", "4"]


def test_a_prefix_that_reads_the_picture_is_told(tiny_model: UnifiedModel) -> None:
    view = look(tiny_model, drawing())
    moved = tuple(dataclasses.replace(p, static_prefix=False) if p.static_prefix else p for p in view.pieces)
    told = [str(part) for part in follow(dataclasses.replace(view, pieces=moved))]
    assert any("computes the prefix again" in part for part in told)


# -- what is drawn ------------------------------------------------------------------------------------------


def test_the_picture_shows_the_mask_in_the_colours_of_what_is_read(
    tiny_model: UnifiedModel, tiny_samples: list[Sample], tmp_path: Path
) -> None:
    from PIL import Image

    out = tmp_path / "new" / "seen.png"
    text = inspect(tiny_model, InMemory(tiny_samples), out=out)
    assert str(out) in text
    with Image.open(out) as picture:
        assert "Attention masks" in picture.info["Description"]
        assert picture.info["Title"].startswith("Which shape goes where")
        colours = {colour[:3] for _, colour in picture.convert("RGB").getcolors(2**24)}
    for shown in ("#a9cbee", "#2f77bd", "#f6cf9c", "#dd8216", "#c9ccd3"):
        assert tuple(bytes.fromhex(shown[1:])) in colours


def test_long_sequences_are_drawn_too(tmp_path: Path) -> None:
    samples = [spoken("x" * 50 + str(key)) for key in range(2)]
    inspect(text_model(), InMemory(samples, batch_size=2), out=tmp_path / "long.png")
    assert (tmp_path / "long.png").stat().st_size > 1000
