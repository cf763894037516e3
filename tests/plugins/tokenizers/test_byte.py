from __future__ import annotations

import torch

from mmgraph.testing import assert_conforms
from mmgraph.tokenizers import byte


def test_contract():
    assert_conforms("tokenizers", byte)


def test_any_text_comes_back():
    texts = ["", "plain", "naïve café", "東京", "🦊 fox\n\ttab", "\x00\x7f"]
    tokens = byte().encode(texts)
    assert [codes.tolist() for codes in tokens] == [list(text.encode("utf-8")) for text in texts]
    assert byte().decode(tokens) == texts


def test_bytes_that_are_no_text_are_marked():
    assert byte().decode([torch.tensor([0xFF, 0x61])]) == ["�a"]
