"""From the heads' summed losses to the one number that is trained, alike on one process and on many.

What the blocks tell about themselves (how a router divides its tokens) is logged beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmgraph.blocks import Block

Found = dict[str, tuple[Tensor, Tensor]]
"""Summed loss and count, by head."""


def weigh(
    module: Any, found: Found, auxiliary: Mapping[str, Tensor], *, weights: Mapping[str, float], stage: str
) -> Tensor:
    """Return the weighted loss and log its terms; counts are summed over all processes.

    Args:
        module: The model that logs; its heads name the terms.
        found: What each head that met its spans found.
        auxiliary: The blocks' own losses, added as they are.
        weights: By head; 1 where not named.
        stage: `train`, `val` or `test`.
    """
    training = stage == "train"
    names = list(module.heads)
    zero = torch.zeros((), device=module.device)
    sums = [found[name][0] if name in found else zero for name in names]
    counts = torch.stack([found[name][1].to(zero) if name in found else zero for name in names])
    world = module.trainer.world_size
    everywhere = counts
    if world > 1:
        # gradients and logs are averaged over processes: scale by their number, divide by the global count
        everywhere = module.trainer.strategy.reduce(counts.clone(), reduce_op="sum")
    total = zero
    for name, part, count in zip(names, sums, everywhere, strict=True):
        mean = part * world / count.clamp_min(1)
        total = total + weights.get(name, 1.0) * mean
        if count > 0 or training:
            module.log(f"{stage}_{name}", mean.detach(), sync_dist=world > 1, batch_size=max(1, int(count)))
    for name, value in auxiliary.items():
        total = total + value
        module.log(f"{stage}_{name}", value.detach(), sync_dist=world > 1, batch_size=1)
    # averaging waits for every parameter, also where a process lacks a head's samples; and a stage may train
    # only what this batch does not use
    if training and (world > 1 or not total.requires_grad):
        total = total + 0 * torch.stack([p.sum() for p in module.parameters() if p.requires_grad]).sum()
    module.log(f"{stage}_loss", total.detach(), prog_bar=True, sync_dist=world > 1, batch_size=1)
    return total


def log_statistics(module: Any, blocks: Iterable[nn.Module]) -> None:
    """Log what the blocks tell of the last training batch, averaged over the blocks that tell it."""
    several = module.trainer.world_size > 1
    told: dict[str, list[Tensor]] = {}
    for block in blocks:
        assert isinstance(block, Block)
        for name, value in block.statistics().items():
            told.setdefault(name, []).append(value)
    for name, values in told.items():
        module.log(f"train_{name}", torch.stack(values).mean(), sync_dist=several, batch_size=1)
