"""LightningModules assembled from plugins, and how they are saved and loaded."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmgraph.models.autoencoder import Autoencoder
    from mmgraph.models.averaging import EMA
    from mmgraph.models.budget import CPUBudget
    from mmgraph.models.conflict import GradientCosine
    from mmgraph.models.contrastive import Contrastive
    from mmgraph.models.graph_context import GraphContext
    from mmgraph.models.graph_control import GraphControl
    from mmgraph.models.optimization import Optimization
    from mmgraph.models.sampling import Sampling
    from mmgraph.models.saving import load, save
    from mmgraph.models.stages import Stage
    from mmgraph.models.tool import Tool
    from mmgraph.models.unified import UnifiedModel
    from mmgraph.models.warm_start import StartFrom

_HOMES = {
    "Autoencoder": "autoencoder",
    "CPUBudget": "budget",
    "Contrastive": "contrastive",
    "EMA": "averaging",
    "GradientCosine": "conflict",
    "GraphContext": "graph_context",
    "GraphControl": "graph_control",
    "Optimization": "optimization",
    "Sampling": "sampling",
    "Stage": "stages",
    "StartFrom": "warm_start",
    "Tool": "tool",
    "UnifiedModel": "unified",
    "load": "saving",
    "save": "saving",
}
__all__ = [
    "EMA",
    "Autoencoder",
    "CPUBudget",
    "Contrastive",
    "GradientCosine",
    "GraphContext",
    "GraphControl",
    "Optimization",
    "Sampling",
    "Stage",
    "StartFrom",
    "Tool",
    "UnifiedModel",
    "load",
    "save",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"mmgraph.models has no '{name}'; it has {', '.join(__all__)}.")
    return getattr(importlib.import_module(f"mmgraph.models.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
