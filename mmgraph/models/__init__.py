"""LightningModules assembled from plugins, and how they are saved and loaded."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmgraph.models.autoencoder import Autoencoder
    from mmgraph.models.averaging import EMA
    from mmgraph.models.optimization import Optimization
    from mmgraph.models.sampling import Sampling
    from mmgraph.models.saving import load, save
    from mmgraph.models.unified import UnifiedModel

_HOMES = {
    "Autoencoder": "autoencoder",
    "EMA": "averaging",
    "Optimization": "optimization",
    "Sampling": "sampling",
    "UnifiedModel": "unified",
    "load": "saving",
    "save": "saving",
}
__all__ = ["EMA", "Autoencoder", "Optimization", "Sampling", "UnifiedModel", "load", "save"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"mmgraph.models has no '{name}'; it has {', '.join(__all__)}.")
    return getattr(importlib.import_module(f"mmgraph.models.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
