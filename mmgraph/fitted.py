"""Modules whose tensors get their shape from data: vocabularies, bases, codebooks.

Stock `load_state_dict` demands shapes known beforehand; a fitted module takes the shapes of what it loads.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Fitted(nn.Module):
    """Mixin: buffers named in `fitted_buffers` take the shape of the state that is loaded.

    After loading, `restore()` rebuilds whatever Python state mirrors the buffers.
    """

    fitted_buffers: tuple[str, ...] = ()

    @property
    def fitted(self) -> bool:
        """Whether everything that must be learned from data is there."""
        return all(getattr(self, name).numel() > 0 for name in self.fitted_buffers)

    def restore(self) -> None:
        """Rebuild Python state from the buffers; called after loading."""

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in self.fitted_buffers:
            saved = state_dict.get(prefix + name)
            if saved is not None:
                current = getattr(self, name)
                setattr(self, name, torch.empty_like(saved, device=current.device))
        super()._load_from_state_dict(state_dict, prefix, *rest)
        if self.fitted:
            self.restore()
