"""Text as UTF-8 bytes: no fitting, nothing unknown, long sequences (ByT5, arXiv 2105.13626)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmgraph.tokenizers import Tokenizer


class ByteTokenizer(Tokenizer):
    """One code per UTF-8 byte.

    Shapes:
        list of N str to list of N int64 `(n,)` with values in 0 to 255.

    Reference:
        Xue et al., ByT5: Towards a Token-Free Future, 2022 (arXiv 2105.13626).
    """

    modality = "text"
    discrete = True

    def __init__(self) -> None:
        super().__init__()

    @property
    def codebook_size(self) -> int:
        """256: every byte."""
        return 256

    def encode(self, contents: Sequence[str]) -> list[Tensor]:
        """Return the bytes of each text."""
        return [torch.tensor(list(text.encode()), dtype=torch.long) for text in contents]

    def decode(self, tokens: Tensor | Sequence[Tensor]) -> list[str]:
        """Return the texts; bytes that are no UTF-8 become the replacement character."""
        return [bytes(int(code) for code in codes).decode(errors="replace") for codes in tokens]
