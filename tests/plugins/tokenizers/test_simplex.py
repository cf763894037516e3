from __future__ import annotations

import pytest
import torch

from mmgraph.errors import RunError, UsageError
from mmgraph.testing import assert_conforms
from mmgraph.tokenizers import byte, patch, simplex

TEXTS = ["red circle", "a large blue square at top left"]


def fitted(**options):
    tokenizer = simplex(**options)
    tokenizer.fit(iter(TEXTS))
    return tokenizer


def test_contract():
    assert_conforms("tokenizers", simplex)
    assert_conforms("tokenizers", simplex, lambda: simplex(byte()))


def test_corners_are_those_of_the_codes():
    tokenizer = fitted()
    vectors = tokenizer.encode(["a red circle"])
    assert vectors.shape == (1, 7, 11), "nine words, the unknown one and none; seven words at most"
    codes = tokenizer.words.encode(["a red circle"])[0]
    assert vectors[0].argmax(-1).tolist() == [*codes.tolist(), 10, 10, 10, 10]
    torch.testing.assert_close(vectors.mean(-1), torch.zeros(1, 7))
    torch.testing.assert_close(2 * vectors.std(-1, correction=0), torch.ones(1, 7))


def test_a_linear_map_of_corners_is_an_embedding():
    table = torch.randn(11, 5, generator=torch.Generator().manual_seed(0))
    tokenizer = fitted()
    embedded = (2 * 10**0.5 * tokenizer.encode(TEXTS)[1] @ table + table.sum(0)) / 11
    torch.testing.assert_close(embedded, table[tokenizer.words.encode(TEXTS)[1]])


def test_what_is_near_a_corner_is_that_word():
    tokenizer = fitted()
    noise = torch.rand(2, 7, 11, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert tokenizer.decode(tokenizer.encode(TEXTS) + 0.9 * noise) == TEXTS


def test_refusals():
    with pytest.raises(UsageError, match="makes vectors of the codes of text, but PatchTokenizer gives none"):
        simplex(patch(8, 4))
    with pytest.raises(UsageError, match="scale of simplex must be above 0, not 0"):
        simplex(scale=0)
    with pytest.raises(UsageError, match="a text has 7 tokens, simplex holds 3; raise max_tokens"):
        fitted(max_tokens=3).encode(TEXTS)
    with pytest.raises(RunError, match="found no text"):
        simplex().fit([])
