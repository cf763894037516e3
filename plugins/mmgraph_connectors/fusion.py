"""Two tokenizers' tokens of one picture, fused in each position (Show-o2's fusion of its two paths)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgraph.connectors import Connector, TextContext
from mmgraph.errors import UsageError
from mmgraph.tokenizers import Tokenizer


class FusionConnector(Connector):
    r"""Both tokens of a place beside each other, normed, through a perceptron.

    \[ e = P z + W_2\,\mathrm{GELU}(W_1\,\mathrm{RMSNorm}([P z;\, S f])) \]

    with \(z\) the span's own token and \(f\) the second tokenizer's at the same place. Where there is no second
    reading (a picture that is being drawn) nothing is fused, and \(e = P z\): the norm takes away how large a token
    is, and a noised one cannot be denoised without. \(W_2\) starts at zero. Grids of different sizes are resized,
    the second's to the first's.

    Shapes:
        `(N, n, d)` and `(N, k, e)` to `(N, n, D)`.

    Args:
        ratio: Hidden width over the model's width.

    Raises:
        UsageError: If the two numbers of tokens differ and one of the tokenizers has no grid.

    Reference:
        Xie et al., Show-o2: Improved Native Unified Multimodal Models, 2025 (arXiv 2506.15564).
    """

    fuses = True

    def __init__(self, ratio: float = 2.0) -> None:
        super().__init__()
        self.ratio = ratio

    def build(self, tokenizer: Tokenizer, dim: int) -> None:
        """Create the path of the span's own tokens and the fusion."""
        self.dim = dim
        self.own = nn.Linear(tokenizer.token_dim, dim)
        inner = max(1, round(dim * self.ratio))
        last = nn.Linear(inner, dim)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.fusion = nn.Sequential(nn.RMSNorm(2 * dim), nn.Linear(2 * dim, inner), nn.GELU(), last)
        self._grids: tuple[tuple[int, int], tuple[int, int]] | None = None

    def build_beside(self, tokenizer: Tokenizer, beside: Tokenizer) -> None:
        """Create the path of the second tokenizer's tokens."""
        self.second = nn.Linear(beside.token_dim, self.dim)
        if tokenizer.num_tokens != beside.num_tokens:
            try:
                self._grids = tokenizer.grid, beside.grid
            except ValueError as error:
                raise UsageError(
                    f"fusion joins tokens place by place, but {type(tokenizer).__name__} gives {tokenizer.num_tokens} "
                    f"and {type(beside).__name__} {beside.num_tokens}, and not both lie on a grid; use equal numbers."
                ) from error

    def num_tokens(self, n: int) -> int:
        """Return n: one position per token of the span's own."""
        return n

    def forward(self, tokens: Tensor, context: TextContext | None = None) -> Tensor:
        """Return `(N, n, D)` embeddings of tokens with no second reading."""
        return self.own(tokens)

    def fuse(self, tokens: Tensor, beside: Tensor) -> Tensor:
        """Return `(N, n, D)` embeddings of tokens and those of the second tokenizer."""
        second = self.second(beside)
        if self._grids is not None:
            own, other = self._grids
            rows = second.transpose(1, 2).unflatten(2, other)  # (N, D, rows, columns)
            second = F.interpolate(rows, size=own, mode="bilinear", align_corners=False).flatten(2).transpose(1, 2)
        own = self.own(tokens)
        return own + self.fusion(torch.cat((own, second), dim=-1))
