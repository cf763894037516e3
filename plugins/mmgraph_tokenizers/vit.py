"""A small vision transformer whose patch features carry meaning: the image side of CLIP in miniature."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from mmgraph.errors import UsageError
from mmgraph.pictures import to_float, to_patches
from mmgraph.tokenizers import Tokenizer
from mmgraph_tokenizers.standardizer import Standardizer


class ViTTokenizer(Tokenizer):
    r"""Patches through a transformer encoder; features are standardised, and cannot be decoded.

    \[ h = \mathrm{Transformer}(W x_\mathrm{patch} + b + p), \qquad z = (h - \mu) / \sigma \]

    Trained by `mmgraph.models.Contrastive` and then frozen; or trained from random weights together with the
    model that reads it (`frozen: false`).

    Shapes:
        `(N, C, S, S)` uint8 to `(N, (S / P)^2, width)` float.

    Args:
        image_size: Height and width S of the pictures.
        patch_size: Side P of a patch; divides `image_size`.
        width: Width of the features.
        depth: Layers.
        num_heads: Attention heads; must divide `width`.
        weights: Trained weights: `zoo:NAME`, `run:DIR`, or `none`.
        frozen: Whether the features stay as they are; random ones must not.
        channels: Colour channels C.

    Raises:
        UsageError: If sizes do not divide, or random weights are used frozen.

    Reference:
        Dosovitskiy et al., An Image is Worth 16x16 Words, 2021 (arXiv 2010.11929); Radford et al., Learning
        Transferable Visual Models From Natural Language Supervision, 2021 (arXiv 2103.00020).
    """

    modality = "image"
    discrete = False
    decodes = False

    def __init__(
        self,
        image_size: int = 32,
        patch_size: int = 8,
        *,
        width: int = 128,
        depth: int = 3,
        num_heads: int = 4,
        weights: str = "none",
        frozen: bool = True,
        channels: int = 3,
    ) -> None:
        super().__init__()
        if image_size % patch_size or width % num_heads:
            raise UsageError(
                f"patch_size {patch_size} must divide image_size {image_size}, num_heads {num_heads} the width {width}."
            )
        self.image_size = image_size
        self.patch_size = patch_size
        self.width = width
        self.embedding = nn.Linear(channels * patch_size**2, width)
        self.places = nn.Parameter(0.5 * torch.randn(self.num_tokens, width))
        layer = nn.TransformerEncoderLayer(
            width, num_heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, depth, norm=nn.LayerNorm(width), enable_nested_tensor=False)
        for parameter in self.layers.parameters():  # its layers are copies of one: draw each anew
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
        self.standardizer = Standardizer()
        self.frozen = frozen
        if weights != "none":
            from mmgraph.models.saving import part_state

            self.load_state_dict(part_state(weights, "tokenizers.image"))
            self.requires_grad_(not frozen)

    @property
    def fitted(self) -> bool:
        """Whether the features' statistics are known."""
        return self.standardizer.fitted

    @property
    def token_dim(self) -> int:
        """Width of the features."""
        return self.width

    @property
    def grid(self) -> tuple[int, int]:
        """S / P rows and columns."""
        return self.image_size // self.patch_size, self.image_size // self.patch_size

    @property
    def num_tokens(self) -> int:
        """(S / P)^2."""
        return self.grid[0] * self.grid[1]

    def features(self, pictures: Tensor) -> Tensor:
        """Return the encoder's output; gradients flow.

        Raises:
            UsageError: If the pictures have another size.
        """
        if tuple(pictures.shape[2:]) != (self.image_size, self.image_size):
            raise UsageError(
                f"the vit tokenizer was made for pictures of {self.image_size} px, the data set gives "
                f"{tuple(pictures.shape[2:])}; set image_size of both to one number."
            )
        return self.layers(self.embedding(to_patches(pictures, self.patch_size)) + self.places)

    def fit(self, contents: Iterable[Tensor]) -> None:
        """Measure the random features that training starts from.

        Raises:
            UsageError: If they would stay random.
        """
        if self.frozen:
            raise UsageError(
                "the vit tokenizer is not trained. Train one with the recipe 'clip' and set weights: run:DIR, take "
                "weights: zoo:clip, or set frozen: false to train it with the model."
            )
        self.standardize(contents)

    @torch.no_grad()
    def standardize(self, contents: Iterable[Tensor]) -> None:
        """Measure mean and deviation of the features of training pictures."""
        self.standardizer.measure(self.features(to_float(part)) for part in torch.stack(list(contents)).split(256))

    def encode(self, contents: Tensor) -> Tensor:
        """Return standardised features in raster order; gradients flow unless the weights are frozen."""
        return self.standardizer(self.features(to_float(contents)))

    def decode(self, tokens: Tensor) -> Tensor:
        """Refuse: meaning does not tell pixels."""
        raise UsageError("the vit tokenizer only sees; draw with a tokenizer that decodes.")
