"""Training for so many CPU seconds, on a clock that the test moves."""

from __future__ import annotations

import lightning
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from mmgraph.errors import UsageError
from mmgraph.models import CPUBudget, Optimization
from mmgraph.models import budget as budgeting

STEP = 0.3
VALIDATION = 5.0


class Clock:
    """Stands for the processor's clock."""

    def __init__(self) -> None:
        self.now = 100.0

    def process_time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(budgeting, "time", found)
    return found


class Model(lightning.LightningModule):
    """A line, each of whose steps takes `STEP` seconds."""

    def __init__(self, clock: Clock, optimization: Optimization) -> None:
        super().__init__()
        self.line = nn.Linear(1, 1)
        self.clock = clock
        self.optimization = optimization
        self.rates: list[float] = []

    def training_step(self, batch, batch_idx):
        self.clock.now += STEP
        self.rates.append(self.optimizers().param_groups[0]["lr"])
        return self.line(batch).square().mean()

    def validation_step(self, batch, batch_idx):
        self.clock.now += VALIDATION

    def configure_optimizers(self):
        return self.optimization.configure(self, self.trainer.estimated_stepping_batches)


def train(clock: Clock, seconds: float, path, *, resume=None, accumulate: int = 1, optimization=None):
    callback = CPUBudget(seconds)
    model = Model(clock, optimization or Optimization(1.0, warmup_steps=4))
    loader = DataLoader(torch.ones(6, 1), batch_size=2)  # 3 steps an epoch, each followed by validation
    trainer = lightning.Trainer(
        max_epochs=-1, callbacks=[callback], accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=path,
        accumulate_grad_batches=accumulate,
    )  # fmt: skip
    trainer.fit(model, loader, DataLoader(torch.ones(1, 1)), ckpt_path=resume, weights_only=False)
    trainer.save_checkpoint(path / "last.ckpt")
    return trainer, model, callback


def test_training_stops_with_the_step_that_uses_the_budget_up(clock, tmp_path):
    trainer, _, callback = train(clock, 3.5, tmp_path)
    assert trainer.global_step == 12  # the first whose end lies beyond 3.5 / 0.3; validation takes nothing of it
    assert clock.now > 100 + 3 * VALIDATION
    assert 3.5 <= callback.clock.used < 3.5 + STEP


def test_the_rate_decays_over_the_budget_as_over_as_many_steps(clock, tmp_path):
    _, model, _ = train(clock, 20 * STEP - 0.01, tmp_path)
    planned = Optimization(1.0, warmup_steps=4)
    assert len(model.rates) == 20
    assert model.rates[:5] == pytest.approx([planned.factor(step, 20) for step in range(5)], abs=1e-6)
    expected = [planned.factor(step, 20) for step in range(20)]
    assert model.rates == pytest.approx(expected, abs=0.08)  # judged by the step before
    assert all(later <= sooner for sooner, later in zip(model.rates[5:], model.rates[6:], strict=False))


def test_a_resumed_run_has_what_is_left(clock, tmp_path):
    train(clock, 10 * STEP - 0.01, tmp_path)
    trainer, model, _ = train(clock, 16 * STEP - 0.01, tmp_path, resume=tmp_path / "last.ckpt")
    assert len(model.rates) == 6
    assert trainer.global_step == 16
    again, model, _ = train(clock, 16 * STEP - 0.01, tmp_path, resume=tmp_path / "last.ckpt")
    assert model.rates == []
    assert again.global_step == 16


def test_accumulated_gradients_are_not_left_behind(clock, tmp_path):
    trainer, model, _ = train(clock, 3 * STEP - 0.01, tmp_path, accumulate=2)
    assert trainer.global_step == 2
    assert len(model.rates) == 3  # the epoch ends with its third batch, and with it the step


def test_without_such_a_budget_nothing_changes():
    assert budgeting.cpu_budget(nn.Linear(1, 1)) is None


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_nothing_is_no_budget(seconds):
    with pytest.raises(UsageError, match="more than 0"):
        CPUBudget(seconds)
