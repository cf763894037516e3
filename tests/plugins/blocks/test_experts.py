"""Experts by modality and by role: shared attention, weights of each one's own, copies of a dense block."""

from __future__ import annotations

import copy
import random

import pytest
import torch
from lightning import Trainer
from mmgraph_blocks.layer import attend, gated
from torch import Tensor

from mmgraph.blocks import dense, experts_by_modality, experts_by_role
from mmgraph.errors import UsageError
from mmgraph.models import Optimization, Stage, StartFrom, UnifiedModel, save
from mmgraph.processors import clean_and_noised
from mmgraph.sequence import MODALITIES, MultimodalSequence, Piece, Sample, Segment, lay_out
from mmgraph.testing import assert_conforms
from mmgraph.testing.suite import stir
from mmgraph.tokenizers import byte, patch
from tests import tiny
from tests.evaluation.world import Squares
from tests.plugins.blocks.test_dense import by_hand
from tests.test_sequence import random_pieces

DIM, CONDITION_DIM, HEADS = 24, 12, 3
KINDS = {"modality": experts_by_modality, "role": experts_by_role}
FIRST = {"modality": "text", "role": "understanding"}


def built(kind: str, condition_dim: int = CONDITION_DIM):
    block = KINDS[kind](HEADS)
    block.build(DIM, condition_dim)
    stir(block)
    return block.eval()


def sequence_of(rows) -> MultimodalSequence:
    layout, _ = lay_out(rows)
    spans = int(layout.timed.max()) + 1
    condition = torch.randn(spans, CONDITION_DIM) if spans else None
    return MultimodalSequence(torch.randn(*layout.shape, DIM), layout, condition=condition)


def as_dense(block, expert: str):
    """The dense block whose weights are one expert's."""
    copied = dense(HEADS)
    copied.build(DIM, CONDITION_DIM)
    own = block.experts[expert].state_dict()
    modulation = {f"modulation.{key}": value for key, value in block.modulation.state_dict().items()}
    copied.load_state_dict({**own, **modulation})
    return copied.eval()


@pytest.mark.parametrize("kind", KINDS)
def test_contract(kind):
    assert_conforms("blocks", KINDS[kind])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_alike_experts_are_a_dense_block(kind, seed):
    """With equal weights in both, the formulas of the dense block written out."""
    rng = random.Random(seed)
    sequence = sequence_of([[random_pieces(rng) for _ in range(rng.randint(1, 2))] for _ in range(3)])
    block = KINDS[kind](HEADS) if kind == "role" else experts_by_modality(HEADS, modalities=MODALITIES)
    block.build(DIM, CONDITION_DIM)
    stir(block)
    for expert in block.experts.values():
        expert.load_state_dict(block.experts[FIRST[kind]].state_dict())
    expected = by_hand(as_dense(block, FIRST[kind]), sequence)
    real = sequence.layout.valid
    torch.testing.assert_close(block(sequence.embeddings, sequence)[0][real], expected[real], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_each_position_has_the_weights_of_its_own(kind):
    """The formulas for unequal experts, one position at a time: only attention joins them."""
    image = Piece(4, "image", "target", 0, "full", timed=True)
    given = Piece(4, "image", "context", 1, "full", timed=True)
    sequence = sequence_of([[(Piece(3), given, image, Piece(2))], [(Piece(1), image)]])
    block = built(kind)
    chosen = block.route(sequence.layout)
    assert set(chosen[0].tolist()) == {0, 1}
    one, two = (as_dense(block, name) for name in block.experts)
    norm, hidden = torch.nn.RMSNorm(DIM, elementwise_affine=False), sequence.embeddings
    table = block.modulation(torch.nn.functional.silu(sequence.condition)).chunk(6, -1)
    read = sequence.modulate(norm(hidden), *table[:2])
    first = (chosen == 0)[..., None]

    def pick(function) -> Tensor:
        return torch.where(first, function(one), function(two))

    projected = pick(lambda part: part.query_key_value(read))
    mixed = attend(projected, HEADS, sequence, None)
    middle = hidden + sequence.gate(pick(lambda part: part.attention_output(mixed)), table[2])
    read = sequence.modulate(norm(middle), *table[3:5])
    changed = pick(lambda part: gated(read, part.gate_and_up.weight, part.down.weight))
    expected = middle + sequence.gate(changed, table[5])
    torch.testing.assert_close(block(hidden, sequence)[0], expected, atol=1e-5, rtol=1e-4)


def test_who_goes_where():
    drawn, given = Piece(2, "image", "target", 0, "full"), Piece(2, "image", "context", 1, "full")
    graph = Piece(1, "graph", "context", 2, "full")
    layout, _ = lay_out([[(Piece(1), drawn, given, Piece(1, "text", "target", 3), graph)]])
    every = experts_by_modality(modalities=["image", "text", "graph"]).route(layout)[0].tolist()
    assert every == [1, 0, 0, 0, 0, 1, 2]
    assert experts_by_role().route(layout)[0].tolist() == [0, 1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_an_expert_without_positions_changes_nothing_and_learns_nothing(kind):
    sequence = sequence_of([[(Piece(5),)], [(Piece(3),)]])
    block = built(kind)
    hidden, _ = block(sequence.embeddings, sequence)
    hidden.sum().backward()
    idle = [name for name in block.experts if name != FIRST[kind]]
    assert all(not p.grad.any() for name in idle for p in block.experts[name].parameters())
    assert all(bool(p.grad.any()) for p in block.experts[FIRST[kind]].parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_a_position_meets_as_many_weights_as_in_a_dense_block(kind):
    block, other = built(kind), dense(HEADS)
    other.build(DIM, CONDITION_DIM)
    assert block.active_parameters == sum(p.numel() for p in other.parameters())


@pytest.mark.parametrize("modalities", [["image"], ["text", "text"], ["text", "smell"]])
def test_modalities_that_cannot_be(modalities):
    with pytest.raises(UsageError, match="name text and others of text, image, graph"):
        experts_by_modality(modalities=modalities)


# -- in a model ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_start_as_copies_of_a_dense_model(kind, tmp_path):
    """Upcycled, the model gives the losses of the dense one, whoever routes."""
    other = tiny.model()
    save(other, tmp_path / "other")
    origin = f"run:{tmp_path / 'other'}"
    torch.manual_seed(5)
    model = UnifiedModel(
        **{
            **other._arguments,
            "block": KINDS[kind](4),
            "start_from": [StartFrom(origin), StartFrom(origin, "blocks.*.experts.*", "blocks.*")],
        }
    )
    model.configure_model()
    batch = tiny.samples()
    found, expected = (one.losses(one.assemble(batch))[0] for one in (model, other))
    for head, (total, count) in expected.items():
        torch.testing.assert_close(found[head][0], total, rtol=1e-5, atol=1e-4)
        assert found[head][1] == count


def text_losses(model) -> list[Tensor]:
    texts = [Sample((Segment("text", f"{word} square", target=True),), "name", k) for k, word in enumerate("abc")]
    with torch.no_grad():
        return [model.losses(model.assemble([text]))[0]["text"][0] for text in texts]


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_text_expert_keeps_the_text_loss_to_the_last_bit(frozen, tmp_path):
    """Two steps on pictures and captions; what stays of the text is the same number."""
    kept = ["blocks.*.experts.text", "vocabulary", "positions.text"]
    model = tiny.model(
        tokenizers={"text": byte(), "image": patch(8, 4)},
        block=experts_by_modality(4),
        stages=[Stage(freeze=kept if frozen else [])],
        optimization=Optimization(warmup_steps=0),
    )
    before, weights = text_losses(model), copy.deepcopy(model.blocks[0].experts["image"].state_dict())
    trainer = Trainer(
        max_steps=2, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(model, datamodule=Squares({"draw": 1.0, "name": 1.0}))
    model.eval()
    assert all(map(torch.equal, before, text_losses(model))) is frozen
    assert not torch.equal(weights["down.weight"], model.blocks[0].experts["image"].down.weight)


def test_a_noised_copy_and_its_clean_one_go_to_other_experts():
    model = tiny.model(processor=clean_and_noised(), block=experts_by_role(4))
    picture = tiny.samples()[0].segments[1]
    layout = model.assemble([Sample((picture, Segment("text", "fox", target=True)), "draw")]).layout
    assert model.blocks[0].route(layout)[0].tolist() == [0] * 2 + [1] * 4 + [0] * 4 + [0] * 3
