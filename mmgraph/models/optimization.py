"""AdamW with warm-up and decay, shared by every model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from mmgraph.models.budget import cpu_budget


@dataclass(frozen=True)
class Optimization:
    """AdamW; weight decay on matrices only.

    Args:
        learning_rate: Peak learning rate.
        weight_decay: Decoupled weight decay.
        beta1: Decay of the first moment.
        beta2: Decay of the second moment.
        warmup_steps: Steps of linear warm-up.
        schedule: What follows: to zero on a line or a cosine over the planned steps, or constant.

    Reference:
        Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019 (arXiv 1711.05101).
    """

    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.99
    warmup_steps: int = 50
    schedule: Literal["linear", "cosine", "constant"] = "linear"

    def configure(self, module: nn.Module, total_steps: float) -> dict[str, Any]:
        """Return what Lightning's `configure_optimizers` returns.

        Args:
            module: Whose trainable parameters are optimised.
            total_steps: Planned optimiser steps; infinite means no decay. Where the module trains under a
                budget of CPU seconds, the plan follows from how much of that has been used.
        """
        budget = cpu_budget(module)
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim >= 2], "weight_decay": self.weight_decay},
            {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
        ]
        # the fused kernel of CPU and CUDA alike: one pass over the parameters
        optimizer = torch.optim.AdamW(groups, lr=self.learning_rate, betas=(self.beta1, self.beta2), fused=True)

        def planned(step: int) -> float:
            return self.factor(step, total_steps if budget is None else budget.planned_steps(step))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, planned)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def factor(self, step: int, total_steps: float) -> float:
        """Return the learning rate at `step` over its peak."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        if self.schedule == "constant" or math.isinf(total_steps):
            return 1.0
        done = (step - self.warmup_steps) / max(1.0, total_steps - self.warmup_steps)
        done = min(1.0, done)
        return 1 - done if self.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))
