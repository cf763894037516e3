"""Pictures as codes of growing grids, each of what the coarser ones left over: what next-scale prediction draws."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgraph.errors import UsageError
from mmgraph_tokenizers.codebook import Codebook, use
from mmgraph_tokenizers.convolutional import ConvolutionalTokenizer

SHARE = 0.5
"""How much of an enlarged scale its convolution may change."""


class MultiscaleVQTokenizer(ConvolutionalTokenizer):
    r"""One codebook for grids of growing sides \(s_1 < \dots < s_K\); the last one is the encoder's.

    \[ r_k = E(x) - F_{k-1}, \qquad z_k = Q(\mathrm{shrink}_{s_k}(r_k)), \qquad
       F_k = F_{k-1} + \phi_k(\mathrm{enlarge}_{s_K}(z_k)), \qquad \hat x = D(F_K) \]

    with shrinking by area, bicubic enlarging, and \(\phi_k\) half the identity and half a convolution. Next-scale
    prediction gets, for the places of scale k, \(F_{k-1}\) shrunk to \(s_k\) (`scale_inputs`).

    Shapes:
        `(N, C, S, S)` uint8 to `(N, \sum_k s_k^2)` int64, scale by scale, each in raster order.

    Args:
        image_size: Height and width S of the pictures.
        downsample: Factor f, a power of two that divides `image_size`; S / f is the last scale.
        sides: Sides of the grids, growing, the last one S / f.
        num_codes: Number of codes K.
        latent_dim: Width d of a code.
        width: Channels of the first stage; doubled at each, up to four times.
        commitment_weight: Weight of the loss that keeps the encoder at what the codes add up to.
        decay: What the codes keep of each earlier batch.
        revive_below: Share of its even use below which a code is given a new place; 0: never.
        weights: Trained weights: `zoo:NAME`, `run:DIR`, or `none` to train them.
        channels: Colour channels C.

    Raises:
        UsageError: If the sides do not grow to S / f, or if an untrained tokenizer is used.

    Reference:
        Tian et al., Visual Autoregressive Modeling: Scalable Image Generation via Next-Scale Prediction,
            2024 (arXiv 2404.02905).
    """

    name = "multiscale_vq"
    discrete = True
    fitted_buffers = ("frequencies",)

    def __init__(
        self,
        image_size: int = 32,
        downsample: int = 8,
        *,
        sides: list[int] | tuple[int, ...] = (1, 2, 3, 4),
        num_codes: int = 256,
        latent_dim: int = 32,
        width: int = 48,
        commitment_weight: float = 0.25,
        decay: float = 0.99,
        revive_below: float = 0.05,
        weights: str = "none",
        channels: int = 3,
    ) -> None:
        super().__init__(
            image_size, downsample, latent_dim=latent_dim, encoded_dim=latent_dim, width=width, channels=channels
        )
        last = image_size // downsample
        if not sides or sides[0] < 1 or any(a >= b for a, b in pairwise(sides)) or sides[-1] != last:
            raise UsageError(
                f"sides {list(sides)} must grow from 1 or more to image_size / downsample = {last}, for example "
                f"{sorted({1, (last + 1) // 2, last})}."
            )
        self.sides = tuple(sides)
        self.ends = list(accumulate(side * side for side in sides))
        self.commitment_weight = commitment_weight
        self.codebook = Codebook(num_codes, latent_dim, decay=decay, revive_below=revive_below)
        self.refine = nn.ModuleList(nn.Conv2d(latent_dim, latent_dim, 3, padding=1) for _ in sides)
        self.register_buffer("frequencies", torch.empty(0))
        self.load_trained(weights)

    @property
    def codebook_size(self) -> int:
        """The codes, shared by all scales."""
        return self.codebook.size

    @property
    def code_dim(self) -> int:
        """Width of a code."""
        return self.latent_dim

    @property
    def scales(self) -> tuple[int, ...]:
        """Sides of the grids."""
        return self.sides

    @property
    def grid(self) -> tuple[int, int]:
        """Refuse: tokens of several scales lie on no one grid."""
        raise ValueError(f"multiscale_vq lays its tokens on {len(self.sides)} grids of sides {self.sides}, not on one.")

    @property
    def num_tokens(self) -> int:
        """Places of all scales."""
        return self.ends[-1]

    def vectors(self, codes: Tensor) -> Tensor:
        """Return the vectors of codes."""
        return self.codebook.lookup(codes)

    def latents(self, pictures: Tensor) -> Tensor:
        """Return E(x)."""
        return self.encoder(pictures)

    def reconstruct(self, pictures: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the decoded codes of floats in [-1, 1] and the losses; in training the codes follow.

        `refinement` brings what the scales add up to towards the latents, through the convolutions; `commitment`
        brings the latents towards it.
        """
        latents = self.latents(pictures)
        codes, sums, remainders = self._quantize(latents.detach())
        self.codebook.follow(torch.cat(remainders, dim=1), codes)
        self._measures = use(codes, self.codebook_size)
        refinement = torch.stack([F.mse_loss(total, latents.detach()) for total in sums]).mean()
        commitment = torch.stack([F.mse_loss(latents, total.detach()) for total in sums]).mean()
        passed = latents + (sums[-1] - latents).detach()
        losses = {"refinement": refinement, "commitment": self.commitment_weight * commitment}
        return self.decoder(passed), losses

    @torch.no_grad()
    def standardize(self, contents: Iterable[Tensor]) -> None:
        """Count how often each code occurs in training pictures; called when training ends."""
        codes = torch.cat([self._quantize(self.latents(part))[0].flatten() for part in self.batches(contents)])
        self.frequencies = torch.bincount(codes, minlength=self.codebook_size) / len(codes)

    @torch.no_grad()
    def encode(self, contents: Tensor) -> Tensor:
        """Return the codes, scale by scale."""
        return self._quantize(self.encoded(contents))[0]

    @torch.no_grad()
    def decode(self, tokens: Tensor) -> Tensor:
        """Return uint8 pictures."""
        return self.painted(self.accumulate(tokens))

    @torch.no_grad()
    def accumulate(self, codes: Tensor) -> Tensor:
        """Return F_k of codes `(N, m)` that fill the first k scales, as `(N, d, S / f, S / f)`."""
        return self._sums(codes)[-1]

    @torch.no_grad()
    def scale_inputs(self, codes: Tensor) -> Tensor:
        """Return F_{k-1} at the places of each scale k that codes fill, and of the one after them."""
        sums = self._sums(codes)[: len(self.sides)]
        shown = [_shrink(total, side).flatten(2) for total, side in zip(sums, self.sides, strict=False)]
        return torch.cat(shown, dim=2).transpose(1, 2)  # (N, m, d)

    def _sums(self, codes: Tensor) -> list[Tensor]:
        """Return F_0 = 0 and F_k after each whole scale of the codes."""
        starts = [0, *self.ends]
        if codes.shape[1] not in starts:
            raise UsageError(
                f"{codes.shape[1]} codes fill no whole number of the scales {self.sides}; whole are {starts}."
            )
        side = self.sides[-1]
        weight = self.codebook.codes
        sums = [torch.zeros(len(codes), self.latent_dim, side, side, device=weight.device, dtype=weight.dtype)]
        for number, (begin, end) in enumerate(pairwise(starts[: starts.index(codes.shape[1]) + 1])):
            sums.append(sums[-1] + self._enlarged(codes[:, begin:end], number))
        return sums

    def _enlarged(self, codes: Tensor, number: int) -> Tensor:
        """Return what one scale adds, in the size of the last."""
        side, last = self.sides[number], self.sides[-1]
        found = self.vectors(codes).transpose(1, 2).unflatten(2, (side, side))
        if side != last:
            found = F.interpolate(found, size=(last, last), mode="bicubic")
        return (1 - SHARE) * found + SHARE * self.refine[number](found)

    def _quantize(self, latents: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Return the codes `(N, n)`, the sums after each scale, and what each scale was given, `(N, s^2, d)`."""
        total = torch.zeros_like(latents)
        codes, sums, remainders = [], [], []
        self.codebook.start(latents.flatten(2).transpose(1, 2))
        for number, side in enumerate(self.sides):
            remainder = _shrink(latents - total.detach(), side).flatten(2).transpose(1, 2)
            remainders.append(remainder)
            codes.append(self.codebook.nearest(remainder))
            total = total + self._enlarged(codes[-1], number)
            sums.append(total)
        return torch.cat(codes, dim=1), sums, remainders


def _shrink(features: Tensor, side: int) -> Tensor:
    return features if features.shape[-1] == side else F.interpolate(features, size=(side, side), mode="area")
