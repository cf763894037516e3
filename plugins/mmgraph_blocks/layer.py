"""What the blocks here have in common: attention over what is visible, and how the time enters a layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgraph.cache import LayerCache
from mmgraph.errors import UsageError
from mmgraph.sequence import MultimodalSequence


def check_heads(num_heads: int, dim: int) -> None:
    """Refuse attention heads that do not divide the width."""
    if dim % num_heads:
        raise UsageError(f"num_heads {num_heads} does not divide the model's dim {dim}; choose a divisor.")


def inner_width(dim: int, mlp_ratio: float) -> int:
    """Return the hidden width of a gated feed-forward: 2/3 of the ratio, as it has three matrices in place of two."""
    return 8 * round(mlp_ratio * dim * 2 / 3 / 8)


def attend(
    query_key_value: Tensor, num_heads: int, sequence: MultimodalSequence, cache: LayerCache | None
) -> Tensor:
    """Return what each position gathers `(B, L, D)` from those it may see.

    Args:
        query_key_value: `(B, L, 3D)`.
        num_heads: Heads H.
        sequence: Whose mask says who sees whom.
        cache: Keys and values of earlier positions, extended in place.
    """
    rows, length, width = query_key_value.shape
    split = query_key_value.view(rows, length, 3, num_heads, width // 3 // num_heads)
    query, key, value = split.permute(2, 0, 3, 1, 4)  # 3 x (B, H, L, K)
    if cache is not None:
        key, value = cache.extend(key, value)
    mask = sequence.mask
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=mask is None)
    return mixed.transpose(1, 2).reshape(rows, length, width // 3)


def normalised(hidden: Tensor) -> Tensor:
    """Return RMSNorm over the width, without a gain: the matrix that follows can hold it."""
    return F.rms_norm(hidden, hidden.shape[-1:])


def dropped(change: Tensor, dropout: float, training: bool) -> Tensor:
    """Return dropout of what a layer adds; free where there is none, which a word at a time notices."""
    return F.dropout(change, dropout) if training and dropout else change


def gated(read: Tensor, gate_and_up: Tensor, down: Tensor) -> Tensor:
    """Return a SwiGLU feed-forward: `down (silu(gate x) * up x)`."""
    if torch.is_grad_enabled():  # two products: splitting one would cost a copy of its whole gradient
        gate, up = (F.linear(read, weight) for weight in gate_and_up.chunk(2))
    else:
        gate, up = F.linear(read, gate_and_up).chunk(2, dim=-1)
    return F.linear(F.silu(gate) * up, down)


def modulation(condition_dim: int, dim: int) -> nn.Linear:
    """Return the layer that makes shift, scale and gate of both halves from the time; zero at the start."""
    layer = nn.Linear(condition_dim, 6 * dim)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class TimeInLayer:
    """The time in one layer: nothing where no span is timed.

    Args:
        module: The block, whose `modulation` is read where there is a time.
        sequence: Its conditioning vectors and which positions they are for.
    """

    def __init__(self, module: nn.Module, sequence: MultimodalSequence) -> None:
        self.sequence = sequence
        self.table: tuple[Tensor, ...] | None = None
        if sequence.condition is not None:
            layer: nn.Module = module.get_submodule("modulation")
            self.table = layer(F.silu(sequence.condition)).chunk(6, dim=-1)  # 6 x (spans, D)

    def read(self, hidden: Tensor, half: int) -> Tensor:
        """Return what attention (half 0) or the feed-forward (half 1) reads."""
        if self.table is None:
            return hidden
        shift, scale, _ = self.table[3 * half : 3 * half + 3]
        return self.sequence.modulate(hidden, shift, scale)

    def gate(self, change: Tensor, half: int) -> Tensor:
        """Return what attention or the feed-forward adds."""
        return change if self.table is None else self.sequence.gate(change, self.table[3 * half + 2])
