"""Which words a model knows, found out through its text tokenizer alone, whichever that is."""

from __future__ import annotations

import difflib
from typing import Any

import torch

from mmgraph.models import UnifiedModel
from mmgraph.tokenizers import Tokenizer

LARGEST = 20_000
"""Codebooks beyond this are not listed."""
SHOWN = 3000


class Words:
    """The vocabulary of a model.

    Args:
        model: A trained model.
    """

    def __init__(self, model: UnifiedModel) -> None:
        parts = [model.tokenizer(name) for name in model.tokenizers]
        texts = [part for part in parts if part.modality == "text" and part.discrete and part.decodes]
        self.tokenizer: Tokenizer | None = texts[0] if texts else None
        self.known: list[str] = []
        if self.tokenizer is not None and self.tokenizer.codebook_size <= LARGEST:
            codes = torch.arange(self.tokenizer.codebook_size)
            found = self.tokenizer.decode(list(codes[:, None]))
            self.known = [text for text in found if len(text) > 1 and text.isalpha()]

    @property
    def shown(self) -> list[str]:
        """The words that the page lists, in the tokenizer's order; none if texts are made of other pieces."""
        # pieces of words (bytes, byte pairs) spell anything: listing them would tell nobody what to write
        return self.known[:SHOWN] if self.unknown("qzxjq") else []

    def unknown(self, text: str) -> list[dict[str, Any]]:
        """Return the words that are lost on the way to tokens and back, each with similar known ones."""
        if self.tokenizer is None:
            return []
        words = list(dict.fromkeys(text.split()))
        found: list[dict[str, Any]] = []
        for word, codes in zip(words, self.tokenizer.encode(words), strict=True):
            (back,) = self.tokenizer.decode([codes])
            if _plain(back) != _plain(word):
                found.append({"word": word, "read_as": back, "similar": self._similar(word)})
        return found

    def _similar(self, word: str) -> list[str]:
        return difflib.get_close_matches(word.lower(), self.known, n=3, cutoff=0.6)


def _plain(text: str) -> str:
    return "".join(text.lower().split())
