"""How large a model is."""

from __future__ import annotations

from torch import nn


def active_parameters(model: nn.Module) -> int:
    """Return the parameters one position may use: all, less the experts a block says it leaves out."""
    total = sum(parameter.numel() for parameter in model.parameters())
    for block in getattr(model, "blocks", ()):
        active = getattr(block, "active_parameters", None)
        if active is not None:
            total -= sum(parameter.numel() for parameter in block.parameters()) - int(active)
    return total
