"""Text as byte-pair units fitted on the data set: nothing unknown, middling length."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from mmgraph.errors import RunError
from mmgraph.tokenizers import Tokenizer


class BPETokenizer(Tokenizer):
    """Byte-level byte-pair encoding, fitted by the `tokenizers` library.

    Shapes:
        list of N str to list of N int64 `(n,)`.

    Args:
        vocab_size: Most units, the 256 bytes included.
        min_count: Pairs rarer than this are not merged.

    Raises:
        RunError: If there are no training texts.

    Reference:
        Sennrich et al., Neural Machine Translation of Rare Words with Subword Units, 2016 (arXiv 1508.07909).
    """

    modality = "text"
    discrete = True
    fitted_buffers = ("merges",)

    def __init__(self, vocab_size: int = 1024, min_count: int = 2) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.min_count = min_count
        self.register_buffer("merges", torch.empty(0, dtype=torch.uint8))  # the library's own JSON
        self._units: Any = None

    @property
    def codebook_size(self) -> int:
        """Units after fitting."""
        return self._units.get_vocab_size()

    def fit(self, contents: Iterable[str]) -> None:
        """Learn the merges from the training texts."""
        from tokenizers import Tokenizer as Units
        from tokenizers import decoders, models, pre_tokenizers, trainers

        texts = list(contents)
        if not texts:
            raise RunError("the bpe tokenizer got no training text; check the data set's texts.")
        units = Units(models.BPE())
        units.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        units.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocab_size,
            min_frequency=self.min_count,
            initial_alphabet=sorted(alphabet),
            show_progress=False,
        )
        units.train_from_iterator(texts, trainer)
        self.merges = torch.tensor(list(units.to_str().encode()), dtype=torch.uint8)
        self.restore()

    def restore(self) -> None:
        """Rebuild the library's tokenizer from the buffer."""
        from tokenizers import Tokenizer as Units

        self._units = Units.from_str(bytes(self.merges.tolist()).decode())

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_units": None}  # copies rebuild it from the buffer

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.fitted:
            self.restore()

    def encode(self, contents: Sequence[str]) -> list[Tensor]:
        """Return the units of each text."""
        return [
            torch.tensor(found.ids, dtype=torch.long) for found in self._units.encode_batch(list(contents))
        ]

    def decode(self, tokens: Tensor | Sequence[Tensor]) -> list[str]:
        """Return the texts."""
        return [self._units.decode([int(code) for code in codes]) for codes in tokens]
