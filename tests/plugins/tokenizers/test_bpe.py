from __future__ import annotations

import json
from itertools import pairwise

import pytest

from mmgraph.errors import RunError
from mmgraph.testing import assert_conforms
from mmgraph.tokenizers import bpe

CORPUS = ["low low low low low lower lower newest newest newest widest widest widest", "newest low"] * 3


@pytest.fixture(scope="module")
def tokenizer():
    found = bpe(280)
    found.fit(CORPUS)
    return found


def pairs_of(saved: dict) -> list[tuple[str, str]]:
    return [tuple(pair) if isinstance(pair, list) else tuple(pair.split()) for pair in saved["merges"]]


def test_contract():
    assert_conforms("tokenizers", bpe)


def test_any_text_comes_back(tokenizer):
    texts = ["", "lowest", "  two  spaces ", "never seen: 東京 🦊", "newest\nlow\t!"]
    assert tokenizer.decode(tokenizer.encode(texts)) == texts


def test_known_words_take_fewer_units_than_bytes(tokenizer):
    assert len(tokenizer.encode(["low"])[0]) == 1
    assert len(tokenizer.encode([" newest"])[0]) <= 2


def test_the_vocabulary_is_bytes_and_merges(tokenizer):
    assert 256 < tokenizer.codebook_size <= 280
    everything = bpe(256)
    everything.fit(CORPUS)
    assert everything.codebook_size == 256
    assert len(everything.encode(["low"])[0]) == 3


def test_units_follow_from_the_merges_in_their_order(tokenizer):
    """Encode by the definition: merge the pair learned first, again and again."""
    saved = json.loads(bytes(tokenizer.merges.tolist()))["model"]
    ranks = {pair: rank for rank, pair in enumerate(pairs_of(saved))}
    for text in ("lowest", "widened", "wildest"):
        units = list(text)  # ASCII bytes stand for themselves in the byte alphabet
        while known := [(ranks[pair], i) for i, pair in enumerate(pairwise(units)) if pair in ranks]:
            _, place = min(known)
            units[place : place + 2] = [units[place] + units[place + 1]]
        assert tokenizer.encode([text])[0].tolist() == [saved["vocab"][unit] for unit in units]


def test_the_first_merge_is_the_most_frequent_pair(tokenizer):
    saved = json.loads(bytes(tokenizer.merges.tolist()))["model"]
    counts: dict[tuple[str, str], int] = {}
    for text in CORPUS:
        for number, part in enumerate(text.split()):
            for pair in pairwise(("Ġ" if number else "") + part):  # the space before a word belongs to it
                counts[pair] = counts.get(pair, 0) + 1
    assert counts[pairs_of(saved)[0]] == max(counts.values())


def test_nothing_to_fit_on():
    with pytest.raises(RunError, match="no training text"):
        bpe().fit([])
