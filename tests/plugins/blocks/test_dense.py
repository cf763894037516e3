from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor, nn

from mmgraph.blocks import dense
from mmgraph.errors import UsageError
from mmgraph.sequence import MultimodalSequence, Piece, lay_out
from mmgraph.testing import assert_conforms
from mmgraph.testing.suite import stir
from tests.test_sequence import random_pieces

DIM, CONDITION_DIM, HEADS = 24, 12, 3


def built(condition_dim: int = CONDITION_DIM, **options):
    block = dense(HEADS, **options)
    block.build(DIM, condition_dim)
    stir(block)
    return block.eval()


def sequence_of(rows, *, timed: bool = True) -> MultimodalSequence:
    layout, _ = lay_out(rows)
    spans = int(layout.timed.max()) + 1
    condition = torch.randn(spans, CONDITION_DIM) if timed else None
    return MultimodalSequence(torch.randn(*layout.shape, DIM), layout, condition=condition)


def rms(hidden: Tensor) -> Tensor:
    return hidden / (hidden.square().mean(-1, keepdim=True) + torch.finfo(hidden.dtype).eps).sqrt()


def same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def by_hand(block, sequence: MultimodalSequence) -> Tensor:
    """The block's formulas written out, one row, one head and one position at a time."""
    layout, hidden = sequence.layout, sequence.embeddings
    width = DIM // HEADS
    weights = dict(block.named_parameters())

    def modulation(row: int, place: int) -> Tensor:
        span = int(layout.timed[row, place])
        if span < 0 or sequence.condition is None:
            return torch.stack([torch.zeros(DIM), torch.zeros(DIM), torch.ones(DIM)] * 2)
        signal = sequence.condition[span]
        signal = signal * torch.sigmoid(signal)
        return (weights["modulation.weight"] @ signal + weights["modulation.bias"]).view(6, DIM)

    mask = layout.mask().expand(len(hidden), -1, -1, -1)
    result = torch.zeros_like(hidden)
    for row in range(len(hidden)):
        table = torch.stack([modulation(row, place) for place in range(hidden.shape[1])])  # (L, 6, D)
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = table.unbind(1)
        read = rms(hidden[row]) * (1 + scale) + shift
        query, key, value = (read @ weights["query_key_value.weight"].T).split(DIM, dim=-1)
        mixed = torch.zeros_like(read)
        for head in range(HEADS):
            part = slice(head * width, (head + 1) * width)
            scores = torch.einsum("ik,jk->ij", query[:, part], key[:, part]) / width**0.5
            scores = scores.masked_fill(~mask[row, 0], -torch.inf)
            mixed[:, part] = torch.einsum("ij,jk->ik", scores.softmax(-1), value[:, part])
        after = hidden[row] + gate * (mixed @ weights["attention_output.weight"].T)
        read = rms(after) * (1 + mlp_scale) + mlp_shift
        inner, up = (read @ weights["gate_and_up.weight"].T).chunk(2, dim=-1)
        result[row] = after + mlp_gate * ((inner * torch.sigmoid(inner) * up) @ weights["down.weight"].T)
    return result


def test_contract():
    assert_conforms("blocks", dense)


@pytest.mark.parametrize("seed", range(8))
def test_equals_the_formulas(seed):
    rng = random.Random(seed)
    rows = [[random_pieces(rng) for _ in range(rng.randint(1, 2))] for _ in range(3)]
    sequence = sequence_of(rows)
    block = built()
    real = sequence.layout.valid
    same(block(sequence.embeddings, sequence)[0][real], by_hand(block, sequence)[real])


def test_plain_causal_rows_equal_the_formulas():
    sequence = sequence_of([[(Piece(7),)], [(Piece(4),)]], timed=False)
    assert sequence.mask is None
    block = built()
    real = sequence.layout.valid
    same(block(sequence.embeddings, sequence)[0][real], by_hand(block, sequence)[real])


def test_attention_equals_torch_multihead_attention():
    image = Piece(4, "image", "target", 0, "full")
    sequence = sequence_of([[(Piece(3), image, Piece(2))], [(Piece(1), image)]], timed=False)
    block = built(0)
    nn.init.zeros_(block.down.weight)  # leaves attention alone
    reference = nn.MultiheadAttention(DIM, HEADS, bias=False, batch_first=True)
    with torch.no_grad():
        reference.in_proj_weight.copy_(block.query_key_value.weight)
        reference.out_proj.weight.copy_(block.attention_output.weight)
    read = nn.RMSNorm(DIM, elementwise_affine=False)(sequence.embeddings)
    blocked = ~sequence.layout.mask().expand(2, HEADS, -1, -1).reshape(2 * HEADS, *sequence.mask.shape[-2:])
    mixed, _ = reference(read, read, read, attn_mask=blocked, need_weights=False)
    same(block(sequence.embeddings, sequence)[0], sequence.embeddings + mixed)


def test_later_tokens_leave_earlier_outputs_bit_identical():
    image = Piece(4, "image", "target", 0, "full", timed=True)
    for rows, place in (([[(Piece(9),)]], 5), ([[(Piece(5), image)], [(Piece(3), image)]], 5)):
        sequence = sequence_of(rows)
        block = built()
        before = block(sequence.embeddings, sequence)[0]
        sequence.embeddings[:, place:] += 10
        after = block(sequence.embeddings, sequence)[0]
        assert torch.equal(before[0, :place], after[0, :place])
        assert not torch.equal(before[0, place], after[0, place])


def test_time_starts_as_no_change():
    block = dense(HEADS)
    block.build(DIM, CONDITION_DIM)
    image = Piece(4, "image", "target", 0, "full", timed=True)
    sequence = sequence_of([[(image, Piece(2))]])
    hidden = block(sequence.embeddings, sequence)[0]
    assert torch.equal(hidden[0, :4], sequence.embeddings[0, :4])  # the gates are zero
    assert not torch.equal(hidden[0, 4:], sequence.embeddings[0, 4:])


def test_dropout_only_in_training():
    sequence = sequence_of([[(Piece(6),)]], timed=False)
    block = built(dropout=0.5)
    still = block(sequence.embeddings, sequence)[0]
    assert torch.equal(still, block(sequence.embeddings, sequence)[0])
    block.train()
    assert not torch.equal(still, block(sequence.embeddings, sequence)[0])


def test_heads_must_divide_the_width():
    with pytest.raises(UsageError, match="num_heads 5 does not divide the model's dim 24"):
        dense(5).build(24, 0)
