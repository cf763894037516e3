"""How large the jobs are: the sizes that are reported, and tiny ones for a quick test."""

from __future__ import annotations

from dataclasses import dataclass, replace


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
        wide_dim: Width of the model with long pictures.
        wide_heads: Its attention heads.
        wide_side: Its image tokens along one side.
        drawn: Pictures that are drawn at once.
        draw_steps: Steps of the sampler.
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
    wide_dim: int = 256
    wide_heads: int = 8
    wide_side: int = 16
    drawn: int = 8
    draw_steps: int = 16

    PATCH = 4
    COLOURS = 3
    TEXT_VALUES = 256

    @property
    def latent(self) -> int:
        """Numbers in one image token."""
        return self.COLOURS * self.PATCH**2

    @property
    def wide(self) -> Sizes:
        """The same with a wider model and longer pictures."""
        return replace(self, dim=self.wide_dim, num_heads=self.wide_heads, side=self.wide_side)

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
    wide_dim=32,
    wide_heads=4,
    wide_side=3,
    drawn=3,
    draw_steps=2,
)
