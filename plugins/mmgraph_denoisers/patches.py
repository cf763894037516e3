"""What transformers on noised grids have in common: patches with places in, modulated norms, patches out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgraph.errors import UsageError


def check_sizes(who: str, dim: int, num_heads: int, patch_size: int, grid: tuple[int, int]) -> None:
    """Refuse a width or a grid that cannot be divided."""
    if dim % num_heads or dim % 4:
        raise UsageError(f"the width {dim} of {who} must be a multiple of 4 and of its num_heads {num_heads}.")
    if grid[0] % patch_size or grid[1] % patch_size:
        raise UsageError(
            f"patch_size {patch_size} of {who} does not divide the grid of {grid[0]} x {grid[1]}; choose a divisor."
        )


def places(dim: int, rows: int, columns: int) -> Tensor:
    r"""Return the fixed embeddings `(1, rows * columns, dim)` of places: sines and cosines of column and row.

    The angles of place p are \( \frac{\pi}{2} p\, n^{-4i/D} \) with n the longer side of the grid: wavelengths from
    four places to four sides. The usual base of 10,000, made for long sequences, has most waves so long that all places
    of a grid of 3 x 3 look alike (cosines from .75 to .97 after the norm), and a prompt's place is not learnt.
    """
    rates = torch.pi / 2 * max(rows, columns) ** -(torch.arange(dim // 4, dtype=torch.double) / (dim / 4))
    down, along = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    angles = [place.flatten().double()[:, None] * rates for place in (along, down)]
    return torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], dim=1).float()[None]


def zeroed(layer: nn.Linear) -> nn.Linear:
    """Return the layer, started at zero."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def modulated(hidden: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Return `norm(hidden) * (1 + scale) + shift`, with a norm that has no weights."""
    hidden = F.layer_norm(hidden, hidden.shape[-1:], eps=1e-6)
    return torch.addcmul(shift, hidden, 1 + scale)


def pooled(memory: Tensor, mask: Tensor | None) -> Tensor:
    """Return one vector `(N, d)` of all that there are `(N, m, d)`: their sum over the root of their number.

    A mean would make what one word changes m times smaller than a word, and the time would drown it.
    """
    if mask is None:
        return memory.sum(1) / memory.shape[1] ** 0.5
    there = mask[..., None].to(memory)
    return (memory * there).sum(1) / there.sum(1).sqrt()


def heads_of(hidden: Tensor, num_heads: int) -> Tensor:
    """Return `(N, n, D)` as `(N, H, n, K)`."""
    return hidden.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def attend(query: Tensor, key: Tensor, value: Tensor, num_heads: int, mask: Tensor | None) -> Tensor:
    """Return what queries `(N, n, D)` gather `(N, n, D)` from m keys; `mask (N, m)` says which of these there are."""
    seen = None if mask is None else mask[:, None, None]
    query, key, value = (heads_of(part, num_heads) for part in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value, attn_mask=seen).transpose(1, 2).flatten(2)


class FeedForward(nn.Sequential):
    """Two layers with a GELU between."""

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__(nn.Linear(dim, inner), nn.GELU(approximate="tanh"), nn.Linear(inner, dim))


class Patches(nn.Module):
    """A grid `(N, C, h, w)` as tokens `(N, n, D)` that know their places, and back.

    Args:
        channels: C.
        grid: Rows and columns h and w.
        dim: Width D.
        patch_size: Side of the square that becomes one token.
    """

    def __init__(self, channels: int, grid: tuple[int, int], dim: int, patch_size: int) -> None:
        super().__init__()
        self.rows, self.columns = grid[0] // patch_size, grid[1] // patch_size
        self.patch_size = patch_size
        self.places: Tensor
        self.register_buffer("places", places(dim, self.rows, self.columns), persistent=False)
        self.input = nn.Linear(channels * patch_size**2, dim)
        self.output = zeroed(nn.Linear(dim, channels * patch_size**2))

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens `(N, n, D)`."""
        n, channels = x.shape[:2]
        p = self.patch_size
        cut = x.view(n, channels, self.rows, p, self.columns, p).permute(0, 2, 4, 3, 5, 1)
        return self.input(cut.reshape(n, self.rows * self.columns, -1)) + self.places  # from (N, n, p p C)

    def back(self, hidden: Tensor) -> Tensor:
        """Return a grid `(N, C, h, w)`."""
        n, p = len(hidden), self.patch_size
        cut = self.output(hidden).view(n, self.rows, self.columns, p, p, -1)
        return cut.permute(0, 5, 1, 3, 2, 4).reshape(n, -1, self.rows * p, self.columns * p)
