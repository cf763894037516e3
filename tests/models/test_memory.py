from __future__ import annotations

import torch

from mmgraph.blocks import dense, gated_cross_attention
from mmgraph.generation import write
from mmgraph.heads import next_token
from mmgraph.models.grouping import Group
from mmgraph.models.memory import gather
from mmgraph.processors import single
from mmgraph.sequence import Piece, Sample, Segment, lay_out
from mmgraph.testing.stand_ins import pictures
from tests import tiny


def flamingo(**options):
    return tiny.model(
        processor=single(memory=["image"]),
        block=gated_cross_attention(dense(4), 4),
        heads={"text": next_token()},
        **options,
    )


def asked(*counts: int) -> list[Sample]:
    """Samples with so many pictures before the question."""
    found, images = [], pictures(8, tiny.SIZE)
    for number, count in enumerate(counts):
        seen = [Segment("image", images[k]) for k in range(count)]
        question = Segment("text", tiny.TEXTS[4 if number % 2 else 7])
        found.append(Sample((*seen, question, tiny.aim(Segment("text", tiny.TEXTS[number]))), "ask", number))
    return found


def test_each_position_sees_what_stands_before_it_in_its_own_sample():
    marker, text = Piece(1), Piece(2)
    sample = (marker, text, marker, text)  # markers at 0 and 3
    layout, _ = lay_out([[sample, sample], [sample]])
    places = torch.tensor([[0], [3], [6], [9], [12], [15]])
    group = Group("image", "image", torch.zeros(6, 4, 8), places, "memory")
    embedded = torch.arange(6.0).view(6, 1, 1).expand(6, 2, 5)  # each picture two tokens of its number
    tokens, visible = gather(layout, [(group, embedded)])
    assert tokens.shape == (2, 8, 5)
    assert tokens[0, :, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert tokens[1, :4, 0].tolist() == [4, 4, 5, 5]
    first = [[True, True] + [False] * 6] * 3 + [[True] * 4 + [False] * 4] * 3
    assert visible[0, :6].tolist() == first
    assert visible[0, 6:].tolist() == [row[4:] + row[:4] for row in first]
    assert visible[1, :6].tolist() == first
    assert not visible[1, 6:].any()  # padding


def test_a_picture_in_memory_takes_two_positions_and_changes_the_answer():
    model = flamingo()
    sample = asked(1)[0]
    assembly = model.assemble([sample])
    words = sum(len(model.tokenizer("text").encode([s.content])[0]) for s in sample.segments[1:])
    assert assembly.layout.shape[1] == words + 5  # begin, picture's two markers, separator, end
    other = Sample((Segment("image", 255 - sample.segments[0].content), *sample.segments[1:]), "ask", 0)
    losses = [model.losses(model.assemble([s]))[0]["text"][0] for s in (sample, other)]
    assert abs(float(losses[0] - losses[1])) > 1e-4


def test_starts_as_the_model_without_pictures():
    model = flamingo(stirred=False)
    samples = asked(1, 1)
    blank = [Sample((Segment("image", 0 * s.segments[0].content), *s.segments[1:]), s.task, s.key) for s in samples]
    states = [model.run(model.embed(model.assemble(batch)))[0] for batch in (samples, blank)]
    assert torch.equal(*states)


def test_cached_writing_equals_uncached_with_pictures_in_memory():
    model = tiny.perplexing(flamingo())
    opened = [tiny.opened(sample) for sample in asked(1, 0, 2, 1)]
    cached = write(model, opened, max_tokens=6, temperature=0.0)
    assert cached == write(model, opened, max_tokens=6, temperature=0.0, use_cache=False)
    assert len({text for text, _ in cached}) > 1


def test_rows_of_several_samples_give_the_same_loss():
    alone, packed = flamingo(), flamingo(row_length=64)
    packed.load_state_dict(alone.state_dict())
    samples = asked(1, 2, 0, 1, 1)
    (total, count), (same, number) = (m.losses(m.assemble(samples))[0]["text"] for m in (alone, packed))
    assert count == number
    torch.testing.assert_close(total, same, atol=1e-4, rtol=1e-5)
