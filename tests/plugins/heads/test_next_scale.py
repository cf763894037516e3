from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mmgraph.errors import UsageError
from mmgraph.heads import next_scale
from mmgraph.randomness import SampleRandom
from mmgraph.testing import assert_conforms
from mmgraph.testing.stand_ins import Codes, ScaleCodes, Vectors
from mmgraph.vocabulary import Vocabulary


def built(**options):
    head = next_scale(**options)
    head.tokenizer_name = "image"
    head.build(ScaleCodes(), Vocabulary({"text": 30, "image": 16}, 8), 8, 0)
    return head


def ids(head, *codes: int) -> torch.Tensor:
    return head._vocabulary[0].ids("image", torch.tensor(codes))


def test_contract():
    assert_conforms("heads", next_scale)
    assert_conforms("heads", next_scale, lambda: next_scale(0.1))


def test_a_scale_sees_itself_and_the_coarser_ones():
    assert built().span_order(21) == (0, *[1] * 4, *[2] * 16)


def test_a_place_reads_the_sum_of_the_coarser_scales():
    head = built()
    codes = torch.randint(0, 16, (2, 21))
    prepared = head.prepare(head._vocabulary[0].ids("image", codes), random=SampleRandom(0, (0, 1)))
    grey = (codes - 7.5) / 8
    assert not prepared.inputs[:, 0].any()
    torch.testing.assert_close(prepared.inputs[:, 1:5, 0], grey[:, :1].expand(2, 4))
    for row in range(4):
        for column in range(4):
            expected = grey[:, 0] + grey[:, 1 + (row // 2) * 2 + column // 2]
            torch.testing.assert_close(prepared.inputs[:, 5 + 4 * row + column, 0], expected)


def test_embedding_is_linear_in_the_input_plus_the_scales_vector():
    head = built()
    inputs = torch.randn(2, 21, 1)
    scale = torch.tensor([0] + [1] * 4 + [2] * 16)
    expected = inputs * head.input.weight[:, 0] + head.input.bias + head.scale.weight[scale]
    torch.testing.assert_close(head.embed(inputs, lambda x: x), expected)
    torch.testing.assert_close(head.embed(inputs[:, 1:5], lambda x: x, 1), expected[:, 1:5])


def test_loss_is_the_summed_cross_entropy():
    head = built()
    tokens, hidden = torch.randint(42, 58, (2, 21)), torch.randn(2, 21, 8)
    prepared = head.prepare(tokens, random=SampleRandom(0, (0, 1)))
    prepared.score_mask[0, 3:] = False
    total, count = head.loss(hidden, prepared)
    logits = hidden @ head._vocabulary[0].output.weight.T
    mask = prepared.score_mask
    assert int(count) == 24
    torch.testing.assert_close(total / count, F.cross_entropy(logits[mask], tokens[mask]))


def test_one_scale_a_step_each_reading_what_was_drawn():
    head, seen = built(), []

    def run(inputs: torch.Tensor, time: None) -> torch.Tensor:
        seen.append(inputs)
        logits = torch.full((2, inputs.shape[1], head._vocabulary[0].size), -50.0)
        logits[..., int(ids(head, 3 + len(seen)))] = 50.0
        return logits

    steps = list(head.sample(run, (2, 21), num_steps=99, random=SampleRandom(0, (0, 1))))
    assert [step.shape[1] for step in steps] == [1, 5, 21]
    assert [inputs.shape[1] for inputs in seen] == [1, 4, 16]
    assert steps[-1][0].tolist() == [*ids(head, 4), *ids(head, 5).repeat(4), *ids(head, 6).repeat(16)]
    torch.testing.assert_close(seen[2], torch.full((2, 16, 1), (4 - 7.5) / 8 + (5 - 7.5) / 8))


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        (Vectors(), "next_scale head models codes, but Vectors gives vectors"),
        (Codes(), "Codes has no scales; next-scale prediction needs a multi-scale tokenizer"),
    ],
)
def test_refusals(tokenizer, message):
    with pytest.raises(UsageError, match=message):
        next_scale().build(tokenizer, Vocabulary({"image": 16}, 8), 8, 0)


def test_the_stand_in_reconstructs_what_it_can():
    tokenizer = ScaleCodes()
    pictures = (torch.arange(16).view(1, 1, 4, 4) * 17).to(torch.uint8)
    codes = tokenizer.encode(pictures)
    assert codes.shape == (1, 21)
    assert (tokenizer.decode(codes).int() - pictures.int()).abs().max() <= 9
    errors = [float((tokenizer.decode(codes[:, :k]).float() - pictures).square().mean()) for k in (1, 5, 21)]
    assert errors[0] > errors[1] > errors[2]
