"""A data set and a model small enough to train in a second; given to the command line with --plugins."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from mmgraph.configured import Configured
from mmgraph.datasets import Dataset
from mmgraph.sequence import Sample, Segment


class TinyDataset(Dataset):
    """Numbers written as text; the target is their remainder by three."""

    supported_tasks = ("name",)

    def __init__(
        self,
        batch_size: int = 4,
        *,
        size: int = 24,
        nan_at: int | None = None,
        seed: int = 0,
        steps_per_epoch: int | None = None,
    ) -> None:
        super().__init__(batch_size, seed=seed, steps_per_epoch=steps_per_epoch)
        self.size = size
        self.nan_at = nan_at

    def items(self, split: str) -> Sequence[int]:
        return range(self.size)

    def sample(self, split: str, item: int, task: str, rng: random.Random) -> Sample:
        return Sample((Segment("text", str(item)),), task, item, {"value": item})

    def contents(self, modality: str) -> Iterable[Any]:
        return (str(item) for item in range(self.size))

    def evaluation(self, split: str, task: str, limit: int | None = None) -> list[Sample]:
        return [self.sample(split, item, task, random.Random(0)) for item in range(min(self.size, limit or 8))]


class Layer(nn.Module, Configured):
    """One hidden layer."""

    def __init__(self, width: int = 8, dropout: float = 0.5) -> None:
        super().__init__()
        self.width = width
        self.net = nn.Sequential(nn.Linear(8, width), nn.Tanh(), nn.Dropout(dropout), nn.Linear(width, 3))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.net(inputs)


class WideLayer(Layer):
    """A layer with other options."""

    def __init__(self, width: int = 16, *, gain: float = 1.0) -> None:
        super().__init__(width)
        self.gain = gain


class TinyModel(LightningModule, Configured):
    """A classifier with dropout.

    Args:
        layer: The hidden layer.
        learning_rate: Of AdamW.
        nan_at: Step whose loss is made NaN.
        signal_at: Step that sends its own process a signal.
        signal_number: Which; SIGINT if None.
        pause: Seconds each step sleeps.
    """

    def __init__(
        self,
        layer: Layer,
        learning_rate: float = 0.01,
        *,
        nan_at: int | None = None,
        signal_at: int | None = None,
        signal_number: int | None = None,
        pause: float = 0.0,
        activation: Callable[[Tensor], Tensor] | None = None,
        anything: Any = None,
    ) -> None:
        super().__init__()
        self.layer = layer
        self.learning_rate = learning_rate
        self.nan_at = nan_at
        self.signal_at = signal_at
        self.signal_number = signal_number
        self.pause = pause
        self.activation = activation
        self.anything = anything

    def _loss(self, batch: list[Sample]) -> Tensor:
        values = torch.tensor([sample.meta["value"] for sample in batch])
        inputs = torch.sin(values[:, None] * torch.arange(1.0, 9.0))
        return nn.functional.cross_entropy(self.layer(inputs), values % 3)

    def training_step(self, batch: list[Sample], batch_idx: int) -> Tensor:
        time.sleep(self.pause)
        if self.signal_at is not None and self.global_step == self.signal_at:
            os.kill(os.getpid(), self.signal_number or signal.SIGINT)
        loss = self._loss(batch)
        if self.nan_at is not None and self.global_step == self.nan_at:
            loss = loss * float("nan")
        self.log("loss", loss, batch_size=len(batch))
        self.log("loss/text", loss.detach(), batch_size=len(batch))
        return loss

    def validation_step(self, batch: list[Sample], batch_idx: int) -> None:
        self.log("val_loss", self._loss(batch), batch_size=len(batch))

    def test_step(self, batch: list[Sample], batch_idx: int) -> None:
        self.log("test_loss", self._loss(batch), batch_size=len(batch))

    def predict_step(self, batch: list[Sample], batch_idx: int) -> Tensor:
        return self._loss(batch)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), self.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 / (1 + 0.1 * step))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
