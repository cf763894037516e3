"""What is cross-attended: spans that stand beside the sequence, gathered row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmgraph.sequence import Layout

if TYPE_CHECKING:
    from mmgraph.models.grouping import Group


def gather(layout: Layout, parts: list[tuple[Group, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return one memory for the whole batch, each row padded to the longest.

    A position sees the memory of its own sample that stands before it in reading order.

    Args:
        layout: Of the sequence.
        parts: Groups of spans placed in memory, and their embeddings `(N, m, D)`.

    Returns:
        Tokens `(B, M, D)` and who sees which, `(B, L, M)` bool.
    """
    rows, width = layout.shape
    owner = torch.cat([(group.places // width).expand(-1, found.shape[1]).flatten() for group, found in parts])
    marker = torch.cat([(group.places % width).expand(-1, found.shape[1]).flatten() for group, found in parts])
    tokens = torch.cat([found.flatten(0, 1) for _, found in parts])  # (all, D)
    order = torch.argsort(owner * width + marker, stable=True)
    owner, marker = owner[order], marker[order]
    counts = torch.bincount(owner, minlength=rows)
    slot = torch.arange(len(owner)) - (counts.cumsum(0) - counts)[owner]
    longest = int(counts.max())
    device = tokens.device
    memory = tokens.new_zeros(rows * longest, tokens.shape[-1])
    memory = memory.index_copy(0, (owner * longest + slot).to(device), tokens[order.to(device)])
    clock = torch.full((rows, longest), -1, dtype=torch.long)
    sample = torch.full((rows, longest), -2, dtype=torch.long)  # of no one: padding of the sequence is -1
    here = layout.order.cpu(), layout.sample.cpu()
    clock[owner, slot] = here[0][owner, marker]
    sample[owner, slot] = here[1][owner, marker]
    clock, sample = clock.to(device), sample.to(device)
    visible = (clock[:, None, :] <= layout.order[:, :, None]) & (sample[:, None, :] == layout.sample[:, :, None])
    return memory.view(rows, longest, -1), visible
