"""What a plugin under test is joined to: the plainest tokenizers, texts and pictures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mmgraph.pictures import from_patches, to_float, to_patches, to_uint8
from mmgraph.tokenizers import Tokenizer

DIM = 64
CONDITION_DIM = 32

TEXTS = (
    "a red fox",
    "A small, red fox!",
    "two big blue squares left of one circle",
    "is it a fox ?",
    "don't stop",
    "naïve café 東京 🦊",
    "x",
    "a red fox in a red box",
)


def pictures(count: int = 24, size: int = 32, channels: int = 3, seed: int = 0) -> list[Tensor]:
    """Return smooth random pictures, uint8 `(C, size, size)`."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, 4, 4, generator=generator)
    fine = F.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)
    return list((fine * 255).round().to(torch.uint8))


class Vectors(Tokenizer):
    """Pictures of `side` x `side` patches of 4 x 4 pixels: continuous tokens, nothing to fit."""

    modality = "image"
    discrete = False

    def __init__(self, channels: int = 1, side: int = 2) -> None:
        super().__init__()
        self.channels = channels
        self.side = side

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.side, self.side

    @property
    def num_tokens(self) -> int:
        """Number of patches."""
        return self.side**2

    @property
    def token_dim(self) -> int:
        """Numbers of a patch."""
        return 16 * self.channels

    def encode(self, contents: Tensor) -> Tensor:
        """Return the patches."""
        return to_patches(to_float(contents), 4)

    def decode(self, tokens: Tensor | Sequence[Tensor]) -> Tensor:
        """Return the pictures."""
        vectors = tokens if isinstance(tokens, Tensor) else torch.stack(list(tokens))
        return to_uint8(from_patches(vectors, 4, self.grid))


class Codes(Tokenizer):
    """Pictures of 2 x 2 pixels as four of 16 greys: discrete tokens, nothing to fit."""

    modality = "image"
    discrete = True
    codebook_size = 16
    num_tokens = 4
    grid = (2, 2)

    def __init__(self) -> None:
        super().__init__()

    def encode(self, contents: Tensor) -> Tensor:
        """Return the greys."""
        return contents[:, 0].flatten(1).long() // 16

    def decode(self, tokens: Tensor | Sequence[Tensor]) -> Tensor:
        """Return the pictures."""
        codes = tokens if isinstance(tokens, Tensor) else torch.stack(list(tokens))
        return (codes * 16 + 8).to(torch.uint8).view(-1, 1, 2, 2)


class ScaleCodes(Tokenizer):
    """Pictures of 4 x 4 pixels as grids of sides 1, 2 and 4, each the greys that the coarser ones left over."""

    modality = "image"
    discrete = True
    codebook_size = 16
    num_tokens = 21
    code_dim = 1
    scales = (1, 2, 4)

    def __init__(self) -> None:
        super().__init__()

    def encode(self, contents: Tensor) -> Tensor:
        """Return the codes, scale by scale."""
        rest = contents[:, :1].float() / 127.5 - 1
        codes = []
        for side in self.scales:
            found = (F.adaptive_avg_pool2d(rest, side) * 8 + 7.5).round().clamp(0, 15).long().flatten(1)
            codes.append(found)
            rest = rest - self._enlarged(found, side)
        return torch.cat(codes, dim=1)

    def decode(self, tokens: Tensor | Sequence[Tensor]) -> Tensor:
        """Return the pictures of whole scales from the first on."""
        codes = tokens if isinstance(tokens, Tensor) else torch.stack(list(tokens))
        return to_uint8(self.accumulate(codes))

    def vectors(self, codes: Tensor) -> Tensor:
        """Return the grey that each code adds, `(..., 1)`."""
        return (codes[..., None] - 7.5) / 8

    def accumulate(self, codes: Tensor) -> Tensor:
        """Return the sum of whole scales, `(N, 1, 4, 4)`."""
        return self._sums(codes)[-1]

    def scale_inputs(self, codes: Tensor) -> Tensor:
        """Return what the coarser scales say at each place, `(N, m, 1)`."""
        sums = self._sums(codes)[: len(self.scales)]
        shown = [F.adaptive_avg_pool2d(s, side).flatten(1) for s, side in zip(sums, self.scales, strict=False)]
        return torch.cat(shown, dim=1)[..., None]

    def _sums(self, codes: Tensor) -> list[Tensor]:
        sums, start = [torch.zeros(len(codes), 1, 4, 4, device=codes.device)], 0
        for side in self.scales:
            if start == codes.shape[1]:
                break
            sums.append(sums[-1] + self._enlarged(codes[:, start : start + side * side], side))
            start += side * side
        return sums

    def _enlarged(self, codes: Tensor, side: int) -> Tensor:
        return F.interpolate(self.vectors(codes).view(-1, 1, side, side), size=(4, 4))
