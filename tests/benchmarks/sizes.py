"""How large the jobs are: the sizes that are reported, and tiny ones for a quick test."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """One model and one batch.

    Args:
        dim: Width.
        depth: Layers.
        num_heads: Attention heads.
        batch: Samples per step.
        text: Text tokens of a mixed sample; ragged ones have half to three halves of it.
        side: Image tokens along one side.
        length: Positions of a text-only sample, and tokens that are decoded.
        codes: Codes of a visual codebook.
        recipe_dim: Width of the model that is sized like a recipe's.
        recipe_depth: Its layers.
        recipe_batch: Its samples per step.
    """

    dim: int = 192
    depth: int = 6
    num_heads: int = 6
    batch: int = 32
    text: int = 64
    side: int = 8
    length: int = 128
    codes: int = 512
    recipe_dim: int = 256
    recipe_depth: int = 4
    recipe_batch: int = 64

    PATCH = 4
    COLOURS = 3
    TEXT_VALUES = 256

    @property
    def latent(self) -> int:
        """Numbers in one image token."""
        return self.COLOURS * self.PATCH**2

    def text_length(self, number: int, ragged: bool) -> int:
        """Return the text tokens of sample `number`, evenly spread where ragged."""
        if not ragged:
            return self.text
        step = number * 7919 % (self.text + 1)  # a prime scatters them over the range
        return self.text // 2 + step


FULL = Sizes()
TINY = Sizes(
    dim=24,
    depth=1,
    num_heads=2,
    batch=3,
    text=6,
    side=2,
    length=12,
    codes=8,
    recipe_dim=16,
    recipe_depth=1,
    recipe_batch=3,
)
