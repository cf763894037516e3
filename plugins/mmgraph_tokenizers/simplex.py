"""Text as vectors of a fixed number of tokens, for heads that denoise it (SSD-LM, arXiv 2210.17432)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mmgraph.errors import RunError, UsageError
from mmgraph.tokenizers import Tokenizer
from mmgraph_tokenizers.word import WordTokenizer


class SimplexTokenizer(Tokenizer):
    r"""Writes each code as a corner of the simplex around zero; the last corner is no word.

    Shorter texts are filled up with the last corner. Decoding takes the largest number: what a denoiser leaves near
    a corner is that word. A linear map of a corner is a row of a table, so as context it says what an embedding does.

    \[ x_v = s\, \frac{(V + 1)\, [v = c] - 1}{\sqrt{V}}, \qquad v = 0 \dots V \]

    With scale s = 1 the numbers of a token have mean 0 and variance 1. The smaller s, the sooner noise hides a word,
    and the more of the noise levels are worth learning from.

    Shapes:
        list of N str to `(N, n, V + 1)` float, n the longest text of the training data.

    Args:
        words: A discrete tokenizer of text with V codes; None: whole words.
        scale: The scale s.
        max_tokens: Most tokens n of a text; None: as many as the longest training text has.

    Raises:
        UsageError: If `words` gives no codes, if the scale is not above 0, or if a text is longer than n.
        RunError: If the training data hold no text.

    Reference:
        Han et al., SSD-LM, 2022 (arXiv 2210.17432).
    """

    modality = "text"
    discrete = False
    fitted_buffers = ("length",)

    def __init__(self, words: Tokenizer | None = None, *, scale: float = 0.5, max_tokens: int | None = None) -> None:
        super().__init__()
        words = WordTokenizer() if words is None else words
        if not words.discrete or words.modality != "text":
            raise UsageError(f"simplex makes vectors of the codes of text, but {type(words).__name__} gives none.")
        if scale <= 0:
            raise UsageError(f"the scale of simplex must be above 0, not {scale}.")
        self.words = words
        self.scale = scale
        self.max_tokens = max_tokens
        self.register_buffer("length", torch.empty(0, dtype=torch.long))

    @property
    def token_dim(self) -> int:
        """Corners V + 1."""
        return self.words.codebook_size + 1

    @property
    def num_tokens(self) -> int:
        """The longest text n."""
        return int(self.length)

    @property
    def fitted(self) -> bool:
        """Whether the words and the length are known."""
        return self.words.fitted and self.length.numel() > 0

    def fit(self, contents: Iterable[str]) -> None:
        """Fit the words and measure the longest text."""
        texts = list(dict.fromkeys(contents))
        if not texts:
            raise RunError("simplex found no text in the training data; check the data set's texts.")
        if not self.words.fitted:
            self.words.fit(texts)
        longest = max(len(codes) for codes in self.words.encode(texts))
        self.length = torch.tensor(self.max_tokens or longest)

    def encode(self, contents: Sequence[str]) -> Tensor:
        """Return the corners of each text."""
        codes = self.words.encode(list(contents))
        filled = torch.full((len(codes), self.num_tokens), self.words.codebook_size)
        for row, found in zip(filled, codes, strict=True):
            if len(found) > len(row):
                raise UsageError(f"a text has {len(found)} tokens, simplex holds {len(row)}; raise max_tokens.")
            row[: len(found)] = found
        corners = (F.one_hot(filled, self.token_dim) * float(self.token_dim) - 1) / self.words.codebook_size**0.5
        return (self.scale * corners).to(self.length.device)

    def decode(self, tokens: Tensor | Sequence[Tensor]) -> list[str]:
        """Return the texts of the nearest corners."""
        nearest = [row.argmax(-1).cpu() for row in tokens]
        return self.words.decode([codes[codes < self.words.codebook_size] for codes in nearest])
