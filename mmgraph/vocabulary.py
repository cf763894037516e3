"""One vocabulary for all discrete tokens: markers, text ids, visual codes.

It owns the embedding table and the output matrix, so a code means the same wherever it is read or scored.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmgraph.sequence import MODALITIES

PAD, BOS, EOS, BOI, EOI, SEP, MASK = range(7)
MARKERS = (
    "<pad>",
    "<bos>",
    "<eos>",
    "<boi>",
    "<eoi>",
    "<sep>",
    "<mask>",
    *(f"<no {name}>" for name in MODALITIES),
)
NULL = {name: 7 + index for index, name in enumerate(MODALITIES)}
"""The learned token that stands for a dropped condition, by modality."""


class Vocabulary(nn.Module):
    """Ids of markers, then of each discrete tokenizer in turn.

    Args:
        sizes: Codebook size of each discrete tokenizer, by its name in the model.
        dim: Model width D.
    """

    def __init__(self, sizes: dict[str, int], dim: int) -> None:
        super().__init__()
        self.offsets: dict[str, int] = {}
        total = len(MARKERS)
        for name, size in sizes.items():
            self.offsets[name] = total
            total += size
        self.sizes = dict(sizes)
        self.size = total
        self.embedding = nn.Embedding(total, dim)  # unit variance, as the positions that are added to it
        self.output = nn.Linear(dim, total, bias=False)
        nn.init.normal_(self.output.weight, std=0.02)

    def ids(self, tokenizer: str, codes: Tensor) -> Tensor:
        """Return the vocabulary ids of a tokenizer's codes."""
        return codes + self.offsets[tokenizer]

    def codes(self, tokenizer: str, ids: Tensor) -> Tensor:
        """Return a tokenizer's codes of vocabulary ids."""
        return ids - self.offsets[tokenizer]

    def allowed(self, tokenizer: str, *markers: int) -> Tensor:
        """Return which ids are a tokenizer's codes or one of `markers`, `(V,)` bool."""
        allowed = torch.zeros(self.size, dtype=torch.bool, device=self.output.weight.device)
        start = self.offsets[tokenizer]
        allowed[start : start + self.sizes[tokenizer]] = True
        allowed[list(markers)] = True
        return allowed

    def embed(self, ids: Tensor) -> Tensor:
        """Return the embeddings `(..., D)` of ids."""
        return self.embedding(ids)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return scores over the whole vocabulary, `(..., V)`."""
        return self.output(hidden)
