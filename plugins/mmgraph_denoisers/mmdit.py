"""Picture and prompt as two streams with weights of their own, and one attention over both (Stable Diffusion 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgraph.denoisers import Denoiser
from mmgraph.models.time_embedding import TimeEmbedding
from mmgraph_denoisers.patches import FeedForward, Patches, attend, check_sizes, modulated, pooled, zeroed


class MMDiTDenoiser(Denoiser):
    r"""Each stream has its norms, projections and feed-forward; queries of both attend to keys of both.

    \[ [x; y] \leftarrow [x; y] + [g^x; g^y] \odot \mathrm{Attn}([m^x(x) W^x; m^y(y) W^y]), \qquad
       x \leftarrow x + g^x \mathrm{FFN}^x(m^x(x)), \quad y \leftarrow y + g^y \mathrm{FFN}^y(m^y(y)) \]

    Shifts, scales and gates of both come from the time and the pooled memory and start at zero. The prompt is
    changed on the way, in the light of the picture; of its last layer only what the picture reads is kept.

    Shapes:
        x `(N, C, h, w)`, time `(N,)`, memory `(N, m, d)` to `(N, C, h, w)`.

    Args:
        width: Width D of both streams.
        depth: Number of layers.
        num_heads: Attention heads.
        patch_size: Side of the square of x that becomes one token.
        mlp_ratio: Hidden width of each feed-forward over D.

    Raises:
        UsageError: If the heads do not divide the width, or the patches do not tile the grid.

    Reference:
        Esser et al., Scaling Rectified Flow Transformers, 2024 (arXiv 2403.03206).
    """

    def __init__(
        self, width: int = 160, depth: int = 4, *, num_heads: int = 4, patch_size: int = 2, mlp_ratio: float = 4.0
    ) -> None:
        super().__init__()
        self.width = width
        self.depth = depth
        self.num_heads = num_heads
        self.patch_size = patch_size
        self.mlp_ratio = mlp_ratio

    def build(self, channels: int, grid: tuple[int, int], memory_dim: int) -> None:
        """Create patches, layers and the output, which starts at zero."""
        check_sizes("mmdit", self.width, self.num_heads, self.patch_size, grid)
        dim, inner = self.width, round(self.width * self.mlp_ratio)
        self.patches = Patches(channels, grid, dim, self.patch_size)
        self.time = TimeEmbedding(dim)
        self.told = nn.Linear(memory_dim, dim)
        self.pooled = nn.Linear(memory_dim, dim)
        self.layers = nn.ModuleList(
            JointLayer(dim, self.num_heads, inner, last=number == self.depth - 1) for number in range(self.depth)
        )
        self.last = zeroed(nn.Linear(dim, 2 * dim))

    def forward(self, x: Tensor, time: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the prediction `(N, C, h, w)`."""
        hidden, told = self.patches(x), self.told(memory)
        condition = F.silu(self.time(time) + self.pooled(pooled(memory, mask)))
        seen = None
        if mask is not None:
            seen = torch.cat((mask.new_ones(hidden.shape[:2]), mask), dim=1)
        for layer in self.layers:
            hidden, told = layer(hidden, told, condition, seen)
        shift, scale = self.last(condition)[:, None].chunk(2, dim=-1)
        return self.patches.back(modulated(hidden, shift, scale))


class Stream(nn.Module):
    """The weights of one stream in one layer.

    Args:
        dim: Width D.
        inner: Hidden width of the feed-forward.
        read_only: Whether only its keys and values are needed.
    """

    def __init__(self, dim: int, inner: int, read_only: bool = False) -> None:
        super().__init__()
        self.read_only = read_only
        self.modulation = zeroed(nn.Linear(dim, (2 if read_only else 6) * dim))
        self.projection = nn.Linear(dim, (2 if read_only else 3) * dim)
        if not read_only:
            self.attention_output = nn.Linear(dim, dim)
            self.mlp = FeedForward(dim, inner)

    def read(self, hidden: Tensor, table: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return queries (none where `read_only`), keys and values, each `(N, n, D)`."""
        return self.projection(modulated(hidden, *table[:2])).chunk(2 if self.read_only else 3, dim=-1)

    def add(self, hidden: Tensor, mixed: Tensor, table: tuple[Tensor, ...]) -> Tensor:
        """Return the stream after what attention gathered, and its feed-forward."""
        hidden = torch.addcmul(hidden, table[2], self.attention_output(mixed))
        return torch.addcmul(hidden, table[5], self.mlp(modulated(hidden, *table[3:5])))


class JointLayer(nn.Module):
    """One layer of both streams; at first the identity.

    Args:
        dim: Width D.
        num_heads: Attention heads.
        inner: Hidden width of each feed-forward.
        last: Whether nothing reads the prompt after it.
    """

    def __init__(self, dim: int, num_heads: int, inner: int, *, last: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.picture = Stream(dim, inner)
        self.prompt = Stream(dim, inner, read_only=last)

    def forward(self, hidden: Tensor, told: Tensor, condition: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return both streams.

        Args:
            hidden: The picture `(N, n, D)`.
            told: The prompt `(N, m, D)`.
            condition: What shifts, scales and gates are made of, `(N, D)`.
            mask: Which of the n + m positions there are.
        """
        own, other = (
            part.modulation(condition)[:, None].chunk(2 if part.read_only else 6, dim=-1)
            for part in (self.picture, self.prompt)
        )
        parts = [self.picture.read(hidden, own), self.prompt.read(told, other)]
        key, value = (torch.cat([part[which] for part in parts], dim=1) for which in (-2, -1))
        query = parts[0][0] if self.prompt.read_only else torch.cat([part[0] for part in parts], dim=1)
        mixed = attend(query, key, value, self.num_heads, mask)
        n = hidden.shape[1]
        hidden = self.picture.add(hidden, mixed[:, :n], own)
        return hidden, told if self.prompt.read_only else self.prompt.add(told, mixed[:, n:], other)
