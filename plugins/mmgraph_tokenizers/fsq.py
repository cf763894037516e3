"""Pictures as codes without a codebook: each of a few numbers is rounded to a few levels (FSQ)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from mmgraph.errors import UsageError
from mmgraph_tokenizers.codebook import use
from mmgraph_tokenizers.convolutional import ConvolutionalTokenizer

MARGIN = 1e-3
"""Rounding must not reach a level beyond the last: the bound stays this share inside."""


class ScalarQuantizer(nn.Module):
    r"""Bounds number i to \(L_i\) levels and rounds it, gradients passing straight through.

    \[ b_i = h_i \tanh(z_i + s_i) - o_i, \qquad \hat z_i = \mathrm{round}(b_i) / \lfloor L_i / 2 \rfloor, \qquad
       h_i = (1 - \epsilon)\,(L_i - 1) / 2 \]

    with \(o_i = 1/2\) for even \(L_i\) (0 for odd) and \(s_i = \mathrm{artanh}(o_i / h_i)\), so that 0 stays 0. The
    code is the number that the levels spell, first one fastest: \(k = \sum_i (\mathrm{round}(b_i) +
    \lfloor L_i / 2 \rfloor) \prod_{j < i} L_j\).

    Shapes:
        `(..., len(levels))` to the same; codes `(...)` int64.

    Args:
        levels: Levels of each number, 3 or more: with 2, zero would lie where the bound is flat.

    Raises:
        UsageError: If there are none, or one is below 3.
    """

    _counts: Tensor
    _bases: Tensor
    _middle: Tensor
    _reach: Tensor
    _offset: Tensor
    _shift: Tensor

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        if not levels or min(levels) < 3:
            raise UsageError(f"fsq needs at least one number of 3 levels or more, not levels {list(levels)}.")
        self.levels = tuple(levels)
        self.size = math.prod(levels)
        counts = torch.tensor(levels)
        bases = torch.cat((torch.ones(1, dtype=torch.int64), counts[:-1].cumprod(0)))
        for name, value in (("_counts", counts), ("_bases", bases), ("_middle", counts // 2)):
            self.register_buffer(name, value, persistent=False)
        reach = (1 - MARGIN) * (counts - 1) / 2
        offset = torch.where(counts % 2 == 0, 0.5, 0.0)
        for name, value in (("_reach", reach), ("_offset", offset), ("_shift", torch.atanh(offset / reach))):
            self.register_buffer(name, value, persistent=False)

    def forward(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Return the rounded numbers, in [-1, 1], and their codes."""
        bounded = torch.tanh(numbers + self._shift) * self._reach - self._offset
        rounded = bounded.round()
        codes = ((rounded.long() + self._middle) * self._bases).sum(-1)
        return (bounded + (rounded - bounded).detach()) / self._middle, codes

    def lookup(self, codes: Tensor) -> Tensor:
        """Return the numbers that codes stand for."""
        return (codes[..., None] // self._bases % self._counts - self._middle) / self._middle


class FSQTokenizer(ConvolutionalTokenizer):
    r"""Each latent of a convolutional encoder is a few numbers, each rounded to a few levels.

    All \( \prod_i L_i \) codes exist from the start: no codebook to learn, no auxiliary loss, hardly a dead code.

    Shapes:
        `(N, C, S, S)` uint8 to `(N, (S / f)^2)` int64, with f the downsampling factor.

    Args:
        image_size: Height and width S of the pictures.
        downsample: Factor f, a power of two that divides `image_size`.
        levels: Levels of each number, 3 or more: [8, 5, 5, 5] gives 1,000 codes, [8, 8, 4] gives 256.
        width: Channels of the first stage; doubled at each, up to four times.
        weights: Trained weights: `zoo:NAME`, `run:DIR`, or `none` to train them.
        channels: Colour channels C.

    Raises:
        UsageError: If a number is out of range, or if an untrained tokenizer is used.

    Reference:
        Mentzer et al., Finite Scalar Quantization: VQ-VAE Made Simple, 2023 (arXiv 2309.15505).
    """

    name = "fsq"
    discrete = True
    fitted_buffers = ("frequencies",)

    def __init__(
        self,
        image_size: int = 32,
        downsample: int = 8,
        *,
        levels: list[int] | tuple[int, ...] = (8, 5, 5, 5),
        width: int = 48,
        weights: str = "none",
        channels: int = 3,
    ) -> None:
        quantizer = ScalarQuantizer(levels)
        super().__init__(
            image_size, downsample, latent_dim=len(levels), encoded_dim=len(levels), width=width, channels=channels
        )
        self.quantizer = quantizer
        self.register_buffer("frequencies", torch.empty(0))
        self.load_trained(weights)

    @property
    def codebook_size(self) -> int:
        """The product of the levels."""
        return self.quantizer.size

    @property
    def code_dim(self) -> int:
        """Numbers of a latent."""
        return self.latent_dim

    def vectors(self, codes: Tensor) -> Tensor:
        """Return the numbers that codes stand for."""
        return self.quantizer.lookup(codes)

    def latents(self, pictures: Tensor) -> Tensor:
        """Return E(x) as `(N, S / f, S / f, d)`, before bounding."""
        return self.encoder(pictures).movedim(1, -1)

    def reconstruct(self, pictures: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the decoded codes of floats in [-1, 1]; no auxiliary loss."""
        passed, codes = self.quantizer(self.latents(pictures))
        self._measures = use(codes, self.codebook_size)
        return self.decoder(passed.movedim(-1, 1)), {}

    @torch.no_grad()
    def standardize(self, contents: Iterable[Tensor]) -> None:
        """Count how often each code occurs in training pictures; called when training ends."""
        codes = torch.cat([self.quantizer(self.latents(part))[1].flatten() for part in self.batches(contents)])
        self.frequencies = torch.bincount(codes, minlength=self.codebook_size) / len(codes)

    @torch.no_grad()
    def encode(self, contents: Tensor) -> Tensor:
        """Return the codes in raster order."""
        return self.quantizer(self.encoded(contents))[1].flatten(1)

    @torch.no_grad()
    def decode(self, tokens: Tensor) -> Tensor:
        """Return uint8 pictures."""
        return self.painted(self.vectors(tokens).unflatten(1, self.grid).movedim(-1, 1))
