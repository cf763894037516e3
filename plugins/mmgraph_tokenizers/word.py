"""Text as whole words fitted on the data set: the shortest sequences, at the price of unknown words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from mmgraph.errors import RunError
from mmgraph.tokenizers import Tokenizer

UNKNOWN = "<unk>"
_WORD = re.compile(rf"{UNKNOWN}|\w+(?:['’]\w+)?|[^\w\s]")


class WordTokenizer(Tokenizer):
    """One code per lower-cased word or mark, most frequent first; `<unk>` in a text is the unknown word.

    Shapes:
        list of N str to list of N int64 `(n,)`.

    Args:
        vocab_size: Most words kept, the unknown word included.
        min_count: Words rarer than this are unknown.

    Raises:
        RunError: If the training texts hold no word.
    """

    modality = "text"
    discrete = True
    fitted_buffers = ("words",)

    def __init__(self, vocab_size: int = 8192, min_count: int = 1) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.min_count = min_count
        self.register_buffer("words", torch.empty(0, dtype=torch.uint8))  # newline-separated UTF-8
        self._names: list[str] = []
        self._codes: dict[str, int] = {}
        self._known: dict[str, Tensor] = {}

    @property
    def codebook_size(self) -> int:
        """Words kept, the unknown word included."""
        return len(self._names)

    def fit(self, contents: Iterable[str]) -> None:
        """Count the words of the training texts."""
        counts = Counter(word for text in contents for word in _WORD.findall(text.lower()))
        if not counts:
            raise RunError(
                "the word tokenizer found no word in the training texts; check the data set's texts."
            )
        ranked = sorted(
            (word for word, count in counts.items() if count >= self.min_count and word != UNKNOWN),
            key=lambda w: (-counts[w], w),
        )
        names = [UNKNOWN, *ranked[: self.vocab_size - 1]]
        self.words = torch.tensor(list("\n".join(names).encode()), dtype=torch.uint8)
        self.restore()

    def restore(self) -> None:
        """Rebuild the word table from the buffer."""
        self._names = bytes(self.words.tolist()).decode().split("\n")
        self._codes = {name: code for code, name in enumerate(self._names)}
        self._known = {}

    def encode(self, contents: Sequence[str]) -> list[Tensor]:
        """Return the codes of each text; the same few texts come again and again, so they are kept."""
        return [self._known.get(text) if text in self._known else self._encode(text) for text in contents]  # type: ignore[misc]

    def _encode(self, text: str) -> Tensor:
        codes = torch.tensor(
            [self._codes.get(word, 0) for word in _WORD.findall(text.lower())], dtype=torch.long
        )
        if len(self._known) < 100_000:
            self._known[text] = codes
        return codes

    def decode(self, tokens: Tensor | Sequence[Tensor]) -> list[str]:
        """Return the words, joined by spaces."""
        return [" ".join(self._names[int(code)] for code in codes) for codes in tokens]
