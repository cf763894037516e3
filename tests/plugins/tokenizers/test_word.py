from __future__ import annotations

import pytest
import torch

from mmgraph.errors import RunError
from mmgraph.testing import assert_conforms
from mmgraph.tokenizers import word


def fitted(texts, **options):
    tokenizer = word(**options)
    tokenizer.fit(texts)
    return tokenizer


def test_contract():
    assert_conforms("tokenizers", word)


def test_codes_are_ranks_by_frequency_then_alphabet():
    tokenizer = fitted(["b b b a a c, don't"])
    words = [tokenizer.decode([torch.tensor([code])])[0] for code in range(tokenizer.codebook_size)]
    assert words == ["<unk>", "b", "a", ",", "c", "don't"]


def test_unknown_words_are_code_zero():
    tokenizer = fitted(["red fox"])
    assert tokenizer.encode(["red wolf"])[0].tolist() == [2, 0]
    assert tokenizer.decode([torch.tensor([2, 0])]) == ["red <unk>"]


def test_size_and_rarity_bound_the_vocabulary():
    texts = ["a a a b b c"]
    assert fitted(texts, vocab_size=3).codebook_size == 3
    assert fitted(texts, min_count=2).codebook_size == 3
    assert fitted(texts, min_count=2).encode(["c b"])[0].tolist() == [0, 2]


def test_fitting_again_forgets_the_old_words():
    tokenizer = fitted(["x a"])
    assert tokenizer.encode(["a"])[0].tolist() == [1]
    tokenizer.fit(["a a x z z z"])
    assert tokenizer.encode(["a"])[0].tolist() == [2]


@pytest.mark.parametrize("texts", [[], ["", "  "]])
def test_nothing_to_fit_on(texts):
    with pytest.raises(RunError, match="no word"):
        fitted(texts)
