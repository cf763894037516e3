"""Pictures as raw patches: no compression, nothing lost (Fuyu; ViT, arXiv 2010.11929)."""

from __future__ import annotations

from torch import Tensor

from mmgraph.errors import UsageError
from mmgraph.pictures import from_patches, to_float, to_patches, to_uint8
from mmgraph.tokenizers import Tokenizer


class PatchTokenizer(Tokenizer):
    """Cuts a picture into squares; a token is the square's pixels in [-1, 1].

    Shapes:
        `(N, C, S, S)` uint8 to `(N, (S / P)^2, C P^2)` float.

    Args:
        image_size: Height and width S of the pictures.
        patch_size: Side P of a square; must divide `image_size`.
        channels: Colour channels C.

    Raises:
        UsageError: If the patches do not tile the picture.
    """

    modality = "image"
    discrete = False

    def __init__(self, image_size: int = 32, patch_size: int = 8, *, channels: int = 3) -> None:
        super().__init__()
        if image_size % patch_size:
            raise UsageError(
                f"patch_size {patch_size} does not divide image_size {image_size}; choose a divisor."
            )
        self.image_size = image_size
        self.patch_size = patch_size
        self.channels = channels

    @property
    def token_dim(self) -> int:
        """C P^2."""
        return self.channels * self.patch_size**2

    @property
    def grid(self) -> tuple[int, int]:
        """S / P rows and columns."""
        side = self.image_size // self.patch_size
        return side, side

    @property
    def num_tokens(self) -> int:
        """(S / P)^2."""
        return self.grid[0] * self.grid[1]

    def encode(self, contents: Tensor) -> Tensor:
        """Return the patches in raster order."""
        self._check(contents)
        return to_patches(to_float(contents), self.patch_size)

    def decode(self, tokens: Tensor) -> Tensor:
        """Return uint8 pictures."""
        return to_uint8(from_patches(tokens, self.patch_size, self.grid))

    def _check(self, pictures: Tensor) -> None:
        wanted = (self.channels, self.image_size, self.image_size)
        if tuple(pictures.shape[1:]) != wanted:
            raise UsageError(
                f"the tokenizer reads pictures of {wanted}, the data set gives {tuple(pictures.shape[1:])}; "
                "set image_size of the tokenizer and of the data set to one number."
            )
