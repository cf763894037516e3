"""One CUDA device: the same numbers as the CPU, bf16-mixed training, and generation."""

from __future__ import annotations

import copy

import lightning
import pytest
import torch

from mmgraph import generation
from mmgraph.blocks import dense
from mmgraph.connectors import linear
from mmgraph.datasets import shapes
from mmgraph.heads import flow, next_token
from mmgraph.models import UnifiedModel
from mmgraph.processors import single
from mmgraph.tokenizers import patch, word

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]


def test_losses_are_those_of_the_cpu(tiny_model, tiny_samples) -> None:
    there = copy.deepcopy(tiny_model).cuda()
    here, _ = tiny_model.losses(tiny_model.assemble(tiny_samples, seed=3))
    on_gpu, _ = there.losses(there.assemble(tiny_samples, seed=3))
    for name, (total, count) in here.items():
        assert int(on_gpu[name][1]) == int(count)
        torch.testing.assert_close(on_gpu[name][0].cpu(), total, rtol=2e-4, atol=2e-4)


def test_generation_runs_and_agrees_with_the_cpu(tiny_model) -> None:
    there = copy.deepcopy(tiny_model).cuda()
    here = generation.draw(tiny_model, ["a red fox", "a fox"], num_steps=4, guidance=2.0, seed=5)
    on_gpu = generation.draw(there, ["a red fox", "a fox"], num_steps=4, guidance=2.0, seed=5)
    assert on_gpu.device.type == "cpu"
    assert (here.int() - on_gpu.int()).abs().max() <= 2
    assert generation.name(there, here) == generation.name(tiny_model, here)


def test_bf16_mixed_training_lowers_the_loss() -> None:
    data = shapes(16, image_size=24, num_scenes=64, steps_per_epoch=40)
    model = UnifiedModel(
        single(),
        {"text": word(), "image": patch(24, 8)},
        block=dense(4),
        heads={"text": next_token(), "image": flow()},
        connectors={"image": linear()},
        dim=64,
        depth=2,
    )
    losses: list[float] = []

    class Record(lightning.Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
            losses.append(float(trainer.callback_metrics["train_loss"]))

    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="gpu",
        devices=1,
        precision="bf16-mixed",
        logger=False,
        callbacks=[Record()],
        enable_checkpointing=False,
        enable_progress_bar=False,
        limit_val_batches=0,
    )
    trainer.fit(model, datamodule=data)
    assert all(torch.isfinite(torch.tensor(losses)))
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])
