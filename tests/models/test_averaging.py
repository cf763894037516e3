"""The exponential moving average of the weights, against its definition."""

from __future__ import annotations

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mmgraph.models import EMA


class Line(LightningModule):
    """One weight that moves by a known step, and a buffer that counts."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)
        self.register_buffer("seen", torch.zeros(1))
        self.history: list[Tensor] = []
        self.validated: list[Tensor] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.seen += 1
        return (self.weight * batch.sum()).sum()

    def on_train_batch_end(self, *rest: object) -> None:
        self.history.append(self.weight.detach().clone())

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.validated.append(self.weight.detach().clone())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD([self.weight], 0.1)


def run(ema: EMA, steps: int = 6, **options: object) -> Line:
    model = Line()
    loader = DataLoader(torch.arange(1.0, steps + 1))
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = Trainer(max_epochs=1, accelerator="cpu", callbacks=[ema], num_sanity_val_steps=0, **quiet, **options)
    trainer.fit(model, loader, DataLoader(torch.zeros(1)))
    return model


@pytest.mark.parametrize("decay", [0.3, 0.999])
def test_average_follows_its_definition(decay):
    model = run(EMA(decay))
    expected = torch.zeros(3)
    for n, weight in enumerate(model.history):
        used = min(decay, (1 + n) / (10 + n))
        expected = used * expected + (1 - used) * weight
    torch.testing.assert_close(model.weight.detach(), expected)
    assert not torch.equal(expected, model.history[-1])
    assert torch.equal(model.validated[0], model.weight)


def test_buffers_and_frozen_weights_are_the_models_own():
    model = run(EMA(0.9))
    assert float(model.seen) == 6
    assert torch.equal(model.frozen, torch.ones(2))


def test_accumulated_batches_count_once():
    model = run(EMA(0.9), accumulate_grad_batches=3)
    expected = torch.zeros(3)
    for n, weight in enumerate(model.history[2::3]):
        expected = torch.lerp(expected, weight, 1 - (1 + n) / (10 + n))
    torch.testing.assert_close(model.weight.detach(), expected)


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_decay_is_checked(decay):
    with pytest.raises(ValueError, match=str(decay)):
        EMA(decay)
