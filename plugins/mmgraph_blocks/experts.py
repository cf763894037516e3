"""Experts that the layout chooses: each position goes to one, by what it is, and attention joins them all.

Hard routing costs what a dense layer costs: every position meets as many weights, sorted so that each expert reads
its positions at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmgraph.cache import LayerCache
from mmgraph.sequence import MultimodalSequence
from mmgraph_blocks.layer import TimeInLayer, attend, dropped, gated, inner_width, normalised


class Expert(nn.Module):
    """A layer's weights, named as the dense block names them, so that they may start as copies of one.

    Args:
        dim: Model width D.
        mlp_ratio: Hidden width of the feed-forward over the model width, before the 2/3 of a gated unit.
    """

    def __init__(self, dim: int, mlp_ratio: float) -> None:
        super().__init__()
        inner = inner_width(dim, mlp_ratio)
        self.query_key_value = nn.Linear(dim, 3 * dim, bias=False)
        self.attention_output = nn.Linear(dim, dim, bias=False)
        self.gate_and_up = nn.Linear(dim, 2 * inner, bias=False)
        self.down = nn.Linear(inner, dim, bias=False)

    def feed_forward(self, read: Tensor) -> Tensor:
        """Return `(..., D)`."""
        return gated(read, self.gate_and_up.weight, self.down.weight)


class Gather(torch.autograd.Function):
    """Rows to the experts they go to, one copy; the gradient comes back in one, and is not added up row by row."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, places: Sequence[Tensor], copies: int) -> tuple[Tensor, ...]:
        """Return each expert's rows; row r stands at the places `copies * r` and on."""
        ctx.places, ctx.copies = places, copies
        return tuple(rows.index_select(0, own if copies == 1 else own // copies) for own in places)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient of the rows."""
        found = _put(gradients, ctx.places)
        return (found if ctx.copies == 1 else found.unflatten(0, (-1, ctx.copies)).sum(1)), None, None


class Scatter(torch.autograd.Function):
    """What the experts give back to where it belongs: the reverse of `Gather`."""

    @staticmethod
    def forward(ctx: Any, places: Sequence[Tensor], *parts: Tensor) -> Tensor:
        """Return all parts at their places."""
        ctx.places = places
        return _put(parts, places)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of each part."""
        return (None, *(gradients[0].index_select(0, own) for own in ctx.places))


def _put(parts: Sequence[Tensor], places: Sequence[Tensor]) -> Tensor:
    found = parts[0].new_empty(sum(map(len, parts)), parts[0].shape[-1])
    for part, own in zip(parts, places, strict=True):
        found.index_copy_(0, own, part)
    return found


class Routes:
    """Rows sorted by the expert they go to, so that each expert reads its own at once.

    Args:
        chosen: The number of each row's expert, `(R,)`, or of its k experts, `(R, k)`.
        num_experts: How many there are; some may have no row.
    """

    def __init__(self, chosen: Tensor, num_experts: int) -> None:
        flat = chosen.flatten()
        self.copies = chosen.shape[1] if chosen.ndim == 2 else 1
        self.places = flat.argsort(stable=True).split(torch.bincount(flat, minlength=num_experts).tolist())

    def apply(self, rows: Tensor, layers: Sequence[Callable[[Tensor], Tensor]]) -> Tensor:
        """Return what each row's experts' layers make of it, `(R * k, d')`.

        Args:
            rows: `(R, d)`.
            layers: One of each expert.
        """
        parts = Gather.apply(rows, self.places, self.copies)
        return Scatter.apply(self.places, *(layer(part) for layer, part in zip(layers, parts, strict=True)))


def run(
    block: nn.Module,
    experts: Sequence[Expert],
    chosen: Tensor,
    hidden: Tensor,
    sequence: MultimodalSequence,
    cache: LayerCache | None,
    *,
    num_heads: int,
    dropout: float,
) -> Tensor:
    """Return the hidden states `(B, L, D)` after shared attention and each position's own weights.

    Args:
        block: Holds the layer of the time.
        experts: In the order of their numbers.
        chosen: The expert of each position, `(B, L)`.
        hidden: `(B, L, D)`.
        sequence: Mask and conditioning.
        cache: Keys and values of earlier positions, extended in place.
        num_heads: Attention heads.
        dropout: On what attention and feed-forward add.
    """
    dim = hidden.shape[-1]
    time = TimeInLayer(block, sequence)
    routes = Routes(chosen.flatten(), len(experts))

    def each(read: Tensor, layers: Sequence[Callable[[Tensor], Tensor]]) -> Tensor:
        return routes.apply(read.reshape(-1, dim), layers).view(*read.shape[:2], -1)

    read = time.read(normalised(hidden), 0)
    mixed = attend(each(read, [own.query_key_value for own in experts]), num_heads, sequence, cache)
    mixed = each(mixed, [own.attention_output for own in experts])
    hidden = hidden + time.gate(dropped(mixed, dropout, block.training), 0)
    changed = each(time.read(normalised(hidden), 1), [own.feed_forward for own in experts])
    return hidden + time.gate(dropped(changed, dropout, block.training), 1)
