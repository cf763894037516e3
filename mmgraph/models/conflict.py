"""Do the objectives pull the shared weights apart? The cosine between their gradients, while training goes on."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from mmgraph.errors import UsageError, nearest
from mmgraph.models.stages import pattern
from mmgraph.models.unified import UnifiedModel


class GradientCosine(Callback):
    r"""Measure every n steps how far the objectives agree about the weights they share.

    \[ \cos(g_a, g_b) = \frac{\langle g_a, g_b \rangle}{\lVert g_a \rVert\,\lVert g_b \rVert}, \qquad
       g_h = \nabla_\theta \frac{1}{n_h} \sum_s \ell_h(s) \]

    over the parameters that both objectives reach, on the batch that is trained next. 1: one objective would do; 0:
    they do not meet; below 0: what helps one hurts the other. It is logged as `gradient_cosine_A_B` for each pair of
    heads that the batch has spans for, in alphabetical order. Gradients, random draws and the training itself are not
    touched; one measurement costs about one training step, and one more backward pass per further objective.

    Args:
        every: Steps from one measurement to the next.
        parts: Which parameters are looked at, by names as in a stage's `train`.

    Raises:
        UsageError: If `every` is not positive, or a part has no parameters.

    Reference:
        Yu et al., Gradient Surgery for Multi-Task Learning, 2020 (arXiv 2001.06782).
    """

    def __init__(self, every: int = 50, *, parts: Sequence[str] = ("blocks",)) -> None:
        if every < 1:
            raise UsageError(f"the gradients' cosine is measured every {every} steps; give 1 or more.")
        self.every = every
        self.parts = tuple(parts)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse a model that has no objectives side by side."""
        if not isinstance(pl_module, UnifiedModel):
            raise UsageError(
                f"the gradients' cosine is between the heads of a UnifiedModel; {type(pl_module).__name__} has none."
            )

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Measure and log, where it is time."""
        starts = batch_idx % trainer.accumulate_grad_batches == 0
        if not starts or trainer.global_step % self.every:
            return
        model: Any = pl_module
        seed = getattr(getattr(trainer, "datamodule", None), "seed", 0)
        devices = [] if model.device.type == "cpu" else [model.device]
        with torch.random.fork_rng(devices=devices), torch.enable_grad():
            found, _ = model.losses(model.assemble(batch, seed=seed, training=True))
            means = {name: total / count.clamp_min(1) for name, (total, count) in found.items() if count > 0}
            cosines = gradient_cosines(means, self._parameters(pl_module))
        told = {f"gradient_cosine_{first}_{second}": float(value) for (first, second), value in cosines.items()}
        # to the loggers themselves: what a module logs is written at steps of the trainer's own choice
        for logger in trainer.loggers if told else ():
            logger.log_metrics(told, step=trainer.global_step)

    def _parameters(self, module: nn.Module) -> list[nn.Parameter]:
        known = dict(module.named_parameters())
        chosen: dict[str, nn.Parameter] = {}
        for part in self.parts:
            covers = pattern(part)
            own = {name: p for name, p in known.items() if covers.fullmatch(name)}
            if not own:
                parts = sorted({name.split(".")[0] for name in known})
                raise UsageError(
                    f"the gradients' cosine is for '{part}', which has no parameters. {nearest(part, parts)}"
                )
            chosen.update(own)
        return [parameter for parameter in chosen.values() if parameter.requires_grad]


def gradient_cosines(losses: Mapping[str, Tensor], parameters: Sequence[Tensor]) -> dict[tuple[str, str], Tensor]:
    """Return the cosine between the gradients of each pair of losses.

    Args:
        losses: Scalars by name.
        parameters: Of these, the ones that both losses of a pair reach.

    Returns:
        By pair of names in alphabetical order; 0 where no parameter is reached by both.
    """
    gradients = {
        name: torch.autograd.grad(losses[name], parameters, retain_graph=True, allow_unused=True)
        for name in sorted(losses)
        if losses[name].requires_grad
    }
    cosines: dict[tuple[str, str], Tensor] = {}
    for first, second in itertools.combinations(gradients, 2):
        met = zip(gradients[first], gradients[second], strict=True)
        pairs = [(a, b) for a, b in met if a is not None and b is not None and bool(a.any()) and bool(b.any())]
        if not pairs:
            cosines[first, second] = torch.zeros((), device=losses[first].device)
            continue
        product = torch.stack([(a * b).sum() for a, b in pairs]).sum()
        sizes = [torch.stack([pair[side].norm() for pair in pairs]).norm() for side in (0, 1)]
        cosines[first, second] = product / sizes[0] / sizes[1]
    return cosines
