"""Text as characters, those of the training texts: short codes, few of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from mmgraph.tokenizers import Tokenizer


class CharacterTokenizer(Tokenizer):
    """One code per character, the most frequent first; code 0 stands for every other character.

    Shapes:
        list of N str to list of N int64 `(n,)`.

    Args:
        max_size: Most characters that are kept.
    """

    modality = "text"
    discrete = True
    fitted_buffers = ("points",)

    def __init__(self, max_size: int = 256) -> None:
        super().__init__()
        if max_size < 1:
            raise ValueError(f"max_size must be at least 1, not {max_size}.")
        self.max_size = max_size
        self.register_buffer("points", torch.zeros(0, dtype=torch.long))  # code point of each code, from 1 on
        self._codes: dict[str, int] = {}

    @property
    def codebook_size(self) -> int:
        """The characters kept, and one for the others."""
        return len(self.points) + 1

    def fit(self, contents: Iterable[str]) -> None:
        """Count characters and keep the most frequent."""
        counts: dict[str, int] = {}
        for text in contents:
            for character in text:
                counts[character] = counts.get(character, 0) + 1
        kept = sorted(counts, key=lambda character: (-counts[character], character))[: self.max_size]
        self.points = torch.tensor([ord(character) for character in kept], dtype=torch.long)
        self.restore()

    def restore(self) -> None:
        """Rebuild the look-up table from the buffer."""
        self._codes = {chr(point): code for code, point in enumerate(self.points.tolist(), start=1)}

    def encode(self, contents: Sequence[str]) -> list[Tensor]:
        """Return the codes of each text."""
        return [torch.tensor([self._codes.get(c, 0) for c in text], dtype=torch.long) for text in contents]

    def decode(self, tokens: Tensor | Sequence[Tensor]) -> list[str]:
        """Return the texts; code 0 becomes the replacement character."""
        points = [0xFFFD, *self.points.tolist()]
        return ["".join(chr(points[int(code)]) for code in codes) for codes in tokens]
