"""Pictures as whitened principal components of their patches: the best linear autoencoder, in closed form."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from mmgraph.errors import RunError, UsageError
from mmgraph.pictures import from_patches, to_float, to_patches, to_uint8
from mmgraph_tokenizers.patch import PatchTokenizer


class PCATokenizer(PatchTokenizer):
    r"""Keeps each patch's leading principal components, scaled by a power of their standard deviation.

    \[ z = s\,\Lambda^{-\alpha / 2} U^\top (p - \mu), \qquad p \approx \mu + U \Lambda^{\alpha / 2} z / s \]

    With \(\alpha = 1\) every component has unit variance (white); with 0 they keep their own. \(s\) brings
    the mean variance to one.

    Shapes:
        `(N, C, S, S)` uint8 to `(N, (S / P)^2, components)` float.

    Args:
        image_size: Height and width S of the pictures.
        patch_size: Side P of a square.
        components: Numbers kept per patch.
        whitening: The exponent above.
        channels: Colour channels C.

    Raises:
        UsageError: If there are more components than numbers in a patch.

    Reference:
        Eckart and Young, The approximation of one matrix by another of lower rank, 1936
            (doi 10.1007/BF02288367).
    """

    fitted_buffers = ("mean", "basis", "deviation")

    def __init__(
        self,
        image_size: int = 32,
        patch_size: int = 8,
        *,
        components: int = 48,
        whitening: float = 1.0,
        channels: int = 3,
    ) -> None:
        super().__init__(image_size, patch_size, channels=channels)
        if components > channels * patch_size**2:
            raise UsageError(
                f"a patch has {channels * patch_size**2} numbers, fewer than components {components}."
            )
        self.components = components
        self.whitening = whitening
        for name in self.fitted_buffers:
            self.register_buffer(name, torch.empty(0))

    @property
    def token_dim(self) -> int:
        """The number of components."""
        return self.components

    def fit(self, contents: Iterable[Tensor]) -> None:
        """Compute mean, basis and deviations from the training pictures."""
        pictures = list(contents)
        if not pictures:
            raise RunError("the pca tokenizer got no training picture; check the data set.")
        stacked = torch.stack(pictures)
        self._check(stacked)
        patches = to_patches(to_float(stacked), self.patch_size).flatten(0, 1).double()
        mean = patches.mean(0)
        values, vectors = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
        kept = values.flip(0)[: self.components].clamp_min(1e-8)
        self.basis = vectors.flip(1)[:, : self.components].float()
        self.mean = mean.float()
        scale = kept ** (self.whitening / 2)
        self.deviation = (scale * (kept / scale**2).mean().sqrt()).float()

    def encode(self, contents: Tensor) -> Tensor:
        """Return the components of each patch."""
        self._check(contents)
        return (to_patches(to_float(contents), self.patch_size) - self.mean) @ self.basis / self.deviation

    def decode(self, tokens: Tensor) -> Tensor:
        """Return uint8 pictures."""
        patches = (tokens.to(self.basis) * self.deviation) @ self.basis.T + self.mean
        return to_uint8(from_patches(patches, self.patch_size, self.grid))
