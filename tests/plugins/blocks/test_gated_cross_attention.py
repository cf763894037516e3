from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mmgraph.blocks import dense, gated_cross_attention
from mmgraph.errors import UsageError
from mmgraph.sequence import MultimodalSequence, Piece, lay_out
from mmgraph.testing import assert_conforms
from mmgraph.testing.suite import stir

DIM, HEADS = 16, 4


def built(*, stirred: bool = True):
    block = gated_cross_attention(dense(HEADS), HEADS)
    block.build(DIM, 0)
    if stirred:
        stir(block)
    return block.eval()


def sequence(visible: torch.Tensor) -> MultimodalSequence:
    layout, _ = lay_out([[(Piece(5),)]])
    memory = {"image": (torch.randn(1, visible.shape[1], DIM), visible[None])}
    return MultimodalSequence(torch.randn(1, 5, DIM), layout, memory=memory)


def test_conforms():
    assert_conforms("blocks", gated_cross_attention, make=lambda: gated_cross_attention(dense(HEADS), HEADS))


def test_is_the_layer_inside_at_the_start():
    block = built(stirred=False)
    given = sequence(torch.ones(5, 3, dtype=torch.bool))
    alone = block.inner(given.embeddings, given)[0]
    assert torch.equal(block(given.embeddings, given)[0], alone)


def test_attention_is_the_formula():
    block = built()
    visible = torch.tensor([[False] * 3, [True, False, False], [True, True, False], [True] * 3, [True] * 3])
    given = sequence(visible)
    cross, hidden, (memory, _) = block.cross, given.embeddings[0], given.memory["image"]
    query = cross.query(cross.norm(hidden)).view(5, HEADS, -1)
    key, value = (part.view(3, HEADS, -1) for part in cross.key_value(cross.memory_norm(memory[0])).chunk(2, -1))
    expected = hidden.clone()
    for place in range(5):
        seen = visible[place]
        if not seen.any():
            continue
        mixed = torch.cat(
            [
                torch.softmax((key[seen, h] @ query[place, h]) / (DIM // HEADS) ** 0.5, 0) @ value[seen, h]
                for h in range(HEADS)
            ]
        )
        moved = hidden[place] + torch.tanh(cross.gate) * cross.output(mixed)
        expected[place] = moved + torch.tanh(cross.mlp_gate) * cross.mlp(moved)
    found = cross(given.embeddings, memory, visible[None])[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(found[0], hidden[0])  # what sees nothing passes unchanged


def test_gradient_reaches_the_gates_from_the_start():
    block = built(stirred=False)
    given = sequence(torch.ones(5, 3, dtype=torch.bool))
    F.mse_loss(block(given.embeddings, given)[0], torch.zeros(1, 5, DIM)).backward()
    assert block.cross.gate.grad.abs() > 0
    assert block.cross.mlp_gate.grad.abs() > 0


def test_heads_must_divide_the_width():
    with pytest.raises(UsageError, match="num_heads 3 must divide the model width 16"):
        gated_cross_attention(dense(4), 3).build(DIM, 0)
