from __future__ import annotations

import json
import logging
import random
from dataclasses import replace

import pytest
import torch

from mmgraph.datasets import llava_instruct
from mmgraph.errors import RunError, UsageError
from mmgraph.testing import assert_conforms
from mmgraph.vocabulary import EOS
from tests import tiny
from tests.plugins.datasets import benchmarks

FILE = "llava_instruct_150k.json"


@pytest.fixture
def root(tmp_path):
    return benchmarks.llava_instruct(tmp_path)


@pytest.fixture
def data(root):
    return llava_instruct(4, root=str(root), image_size=tiny.SIZE)


@pytest.fixture
def model(data):
    from mmgraph.tokenizers import word

    tokenizer = word()
    tokenizer.fit(data.contents("text"))
    return tiny.model(tokenizers={"text": tokenizer, "image": tiny.patch(tiny.SIZE, 4)})


def longest(data):
    return next(sample for sample in data.evaluation("train", "ask") if len(sample.segments) == 7)


def test_conforms(root):
    assert_conforms("datasets", llava_instruct, make=lambda: llava_instruct(4, root=str(root), image_size=8))


def test_turns_alternate_and_all_answers_are_targets(data):
    sample = longest(data)
    assert [(s.modality, s.target) for s in sample.segments] == [
        ("image", False),
        *[("text", False), ("text", True)] * 3,
    ]
    assert sample.segments[1].content == "What color is it?"
    assert sample.segments[6].content == "a card"
    assert sample.meta["answer"] == sample.segments[2].content == benchmarks.colour(int(sample.meta["file"][:-4]))


def test_a_training_sample_ends_after_any_turn(data):
    item = longest(data).meta["item"]
    ends = {len(data.sample("train", item, "ask", random.Random(k)).segments) for k in range(40)}
    assert ends == {3, 5, 7}


def test_every_answer_is_scored_and_no_question(model, data):
    sample = longest(data)
    assembly = model.assemble([sample])
    (scored,) = assembly.scored
    names = model.tokenizer("text")
    found = []
    for tokens, mask in zip(scored.prepared.targets, scored.prepared.score_mask, strict=True):
        found += tokens[mask].tolist()
    wanted = [sample.segments[k].content for k in (2, 4, 6)]
    words = [code for text in wanted for code in names.encode([text])[0].tolist()]
    assert found == [*model.vocabulary.ids("text", torch.tensor(words)).tolist(), EOS]


def test_an_answer_sees_nothing_after_it(model, data):
    def states(sample):
        assembly = model.assemble([sample])
        with torch.no_grad():
            hidden = model.run(model.embed(assembly))[0]
        scored = assembly.scored[0]
        return [hidden.flatten(0, 1)[p[m]] for p, m in zip(scored.places, scored.prepared.score_mask, strict=True)]

    sample = longest(data)
    other = list(sample.segments)
    other[4] = replace(other[4], content="a card")  # another second answer, of two words
    other[5] = replace(other[5], content="Is it red?")
    before, after = states(sample), states(replace(sample, segments=tuple(other)))
    torch.testing.assert_close(before[0], after[0])
    torch.testing.assert_close(before[1][:1], after[1][:1])  # what predicts the changed answer's first word
    assert before[2].shape == after[2].shape
    assert not torch.allclose(before[2], after[2])
    first = list(sample.segments)
    first[1] = replace(first[1], content="Is it red?")
    assert not torch.allclose(states(replace(sample, segments=tuple(first)))[0], before[0])


def test_conversations_about_one_picture_are_on_one_side(root):
    values = json.loads((root / FILE).read_text())
    (root / FILE).write_text(json.dumps(values + values))
    data = llava_instruct(root=str(root))
    pictures = [{data.conversations[i].picture for i in data.items(split)} for split in ("train", "val", "test")]
    assert not pictures[0] & pictures[1]
    assert not pictures[0] & pictures[2]
    assert sum(map(len, pictures)) == 40


def test_long_conversations_lose_their_last_turns(root, caplog):
    with caplog.at_level(logging.WARNING):
        data = llava_instruct(root=str(root), max_words=9)
    assert max(len(entry.turns) for entry in data.conversations) == 2
    with pytest.raises(RunError, match=r"longer than max_words \(40\)"):
        llava_instruct(root=str(root), max_words=3)


def test_what_cannot_be_used_is_counted(root, caplog):
    values = json.loads((root / FILE).read_text())
    del values[0]["image"]
    values[1]["image"] = "gone.jpg"
    values[2]["image"] = "../outside.jpg"
    values[3]["conversations"].pop()
    values[4]["conversations"][0]["from"] = "gpt"
    values[5] = "no object"
    (root / FILE).write_text(json.dumps(values))
    with caplog.at_level(logging.WARNING):
        data = llava_instruct(root=str(root))
    assert "conversations left out (2) without picture: 000000000000, 5" in caplog.text
    assert "(1) picture missing: 000000000001 (gone.jpg)" in caplog.text
    assert "(1) picture outside the folder" in caplog.text
    assert "(2) not of the form human, gpt, human, gpt" in caplog.text
    assert len(data.conversations) == 34


def test_wrong_files_are_told(root, tmp_path):
    with pytest.raises(UsageError, match=r"no conversations: looked for mine\.json"):
        llava_instruct(root=str(root), file="mine.json")
    (root / FILE).write_text('{"a": 1}')
    with pytest.raises(RunError, match="expected a list of conversations"):
        llava_instruct(root=str(root))
