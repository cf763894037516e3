"""Connectors that read the question: they see the sample's context texts, and never what is to be written."""

from __future__ import annotations

import torch

from mmgraph.connectors import q_former
from mmgraph.generation import write
from mmgraph.heads import next_token
from mmgraph.sequence import Sample, Segment
from tests import tiny


def model():
    return tiny.perplexing(tiny.model(connectors={"image": q_former(2, 2)}, heads={"text": next_token()}))


def asked(answer: str = "yes", question: str = tiny.TEXTS[4]) -> Sample:
    picture = tiny.samples()[3].segments[0]
    return Sample((picture, Segment("text", question), tiny.aim(Segment("text", answer))), "ask", 3)


def image_states(built, samples):
    """What stands at each sample's picture."""
    assembly = built.assemble(samples)
    sequence = built.embed(assembly)
    (group,) = assembly.groups
    return sequence.embeddings.flatten(0, 1)[group.places]


def test_the_picture_is_read_for_the_question_and_not_for_the_answer():
    built = model()
    states = image_states(built, [asked(), asked("no"), asked(question=tiny.TEXTS[7])])
    torch.testing.assert_close(states[0], states[1])
    assert (states[0] - states[2]).abs().max() > 1e-3


def test_texts_of_different_lengths_and_none_do_not_touch():
    built = model()
    named = Sample((asked().segments[0], tiny.aim(Segment("text", "fox"))), "name", 5)
    together = image_states(built, [asked(question="no"), named, asked(question=tiny.TEXTS[2])])
    for k, sample in enumerate((asked(question="no"), named, asked(question=tiny.TEXTS[2]))):
        torch.testing.assert_close(together[k], image_states(built, [sample])[0], atol=1e-5, rtol=1e-5)


def test_cached_writing_equals_uncached():
    built = model()
    opened = [tiny.opened(asked()), tiny.opened(asked(question="fox"))]
    cached = write(built, opened, max_tokens=6, temperature=0.0)
    assert cached == write(built, opened, max_tokens=6, temperature=0.0, use_cache=False)
