"""Pictures as several codes a place, each of what the ones before left over (residual quantisation)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from mmgraph.errors import UsageError
from mmgraph_tokenizers.codebook import Codebook, quantize, use
from mmgraph_tokenizers.convolutional import ConvolutionalTokenizer


class ResidualVQTokenizer(ConvolutionalTokenizer):
    r"""Q codebooks in turn, each on the remainder of the earlier ones.

    \[ r_1 = E(x), \qquad k_q = \arg\min_j \lVert r_q - c^q_j \rVert, \qquad r_{q+1} = r_q - c^q_{k_q}, \qquad
       \hat x = D\Big(\sum_q c^q_{k_q}\Big) \]

    The Q codes of a place stand beside each other, coarse to fine, place by place in raster order. Codes of codebook
    q are \(qK\) to \((q + 1)K - 1\), so that the same number means the same vector everywhere. When decoded, a code
    that a model puts where another codebook belongs counts as the code of the same rank there.

    Shapes:
        `(N, C, S, S)` uint8 to `(N, Q (S / f)^2)` int64 below Q K, with f the downsampling factor.

    Args:
        image_size: Height and width S of the pictures.
        downsample: Factor f, a power of two that divides `image_size`.
        num_quantizers: Codes Q of a place.
        num_codes: Codes K of each codebook.
        latent_dim: Width d of a code.
        width: Channels of the first stage; doubled at each, up to four times.
        commitment_weight: Weight of the loss that keeps each remainder at its codes.
        decay: What the codes keep of each earlier batch.
        revive_below: Share of its even use below which a code is given a new place; 0: never.
        weights: Trained weights: `zoo:NAME`, `run:DIR`, or `none` to train them.
        channels: Colour channels C.

    Raises:
        UsageError: If a number is out of range, or if an untrained tokenizer is used.

    Reference:
        Lee et al., Autoregressive Image Generation using Residual Quantization, 2022 (arXiv 2203.01941).
    """

    name = "residual_vq"
    discrete = True
    fitted_buffers = ("frequencies",)

    def __init__(
        self,
        image_size: int = 32,
        downsample: int = 8,
        *,
        num_quantizers: int = 4,
        num_codes: int = 128,
        latent_dim: int = 32,
        width: int = 48,
        commitment_weight: float = 0.25,
        decay: float = 0.99,
        revive_below: float = 0.05,
        weights: str = "none",
        channels: int = 3,
    ) -> None:
        if num_quantizers < 1:
            raise UsageError(f"num_quantizers must be 1 or more, not {num_quantizers}.")
        super().__init__(
            image_size, downsample, latent_dim=latent_dim, encoded_dim=latent_dim, width=width, channels=channels
        )
        self.num_quantizers = num_quantizers
        self.num_codes = num_codes
        self.commitment_weight = commitment_weight
        self.codebooks = nn.ModuleList(
            Codebook(num_codes, latent_dim, decay=decay, revive_below=revive_below) for _ in range(num_quantizers)
        )
        self.register_buffer("frequencies", torch.empty(0))
        self.load_trained(weights)

    @property
    def codebook_size(self) -> int:
        """Q K."""
        return self.num_quantizers * self.num_codes

    @property
    def code_dim(self) -> int:
        """Width of a code."""
        return self.latent_dim

    @property
    def places(self) -> tuple[int, int]:
        """Rows and columns of places; each holds Q codes."""
        return super().grid

    @property
    def grid(self) -> tuple[int, int]:
        """Refuse: with several codes a place, tokens lie on no grid."""
        raise ValueError("residual_vq has several codes a place: its tokens lie on no grid; `places` has the places'.")

    @property
    def num_tokens(self) -> int:
        """Q (S / f)^2."""
        return self.num_quantizers * self.places[0] * self.places[1]

    def vectors(self, codes: Tensor) -> Tensor:
        """Return the vectors of codes, each from the codebook that its number says."""
        return torch.cat([book.codes for book in self.codebooks])[codes]  # type: ignore[misc]

    def latents(self, pictures: Tensor) -> Tensor:
        """Return E(x) as `(N, S / f, S / f, d)`."""
        return self.encoder(pictures).movedim(1, -1)

    def reconstruct(self, pictures: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the decoded codes of floats in [-1, 1], and the commitment; in training the codes follow."""
        remainder = latents = self.latents(pictures)
        commitment = latents.new_zeros(())
        found = []
        for number, book in enumerate(self.codebooks):
            passed, codes, error = quantize(book, remainder)  # type: ignore[arg-type]
            # the next codebook sees what is left; the codes passed are constants for it
            remainder = remainder - passed.detach()
            commitment = commitment + error / self.num_quantizers
            found.append(codes + number * self.num_codes)
        self._measures = use(torch.stack(found), self.codebook_size)
        summed = latents + (-remainder).detach()  # E(x) less the last remainder: the sum of the codes
        return self.decoder(summed.movedim(-1, 1)), {"commitment": self.commitment_weight * commitment}

    @torch.no_grad()
    def standardize(self, contents: Iterable[Tensor]) -> None:
        """Count how often each code occurs in training pictures; called when training ends."""
        codes = torch.cat([self._codes(self.latents(part)).flatten() for part in self.batches(contents)])
        self.frequencies = torch.bincount(codes, minlength=self.codebook_size) / len(codes)

    @torch.no_grad()
    def encode(self, contents: Tensor) -> Tensor:
        """Return the codes, those of a place beside each other, places in raster order."""
        return self._codes(self.encoded(contents))

    @torch.no_grad()
    def decode(self, tokens: Tensor) -> Tensor:
        """Return uint8 pictures."""
        ranks = tokens.unflatten(1, (*self.places, self.num_quantizers)) % self.num_codes
        offsets = torch.arange(self.num_quantizers, device=tokens.device) * self.num_codes
        return self.painted(self.vectors(ranks + offsets).sum(-2).movedim(-1, 1))

    def _codes(self, latents: Tensor) -> Tensor:
        remainder = latents
        found = []
        for number, book in enumerate(self.codebooks):
            codes = book.nearest(remainder)  # type: ignore[operator]
            remainder = remainder - book.lookup(codes)  # type: ignore[operator]
            found.append(codes + number * self.num_codes)
        return torch.stack(found, dim=-1).flatten(1)
