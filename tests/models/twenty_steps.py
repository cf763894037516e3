"""Twenty training steps of a tiny model; a script, because the `ddp` strategy starts the script again.

Run by `test_distributed.py`: `python -m tests.models.twenty_steps --devices 2 --batch 4 --out FILE`.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from mmgraph.blocks import dense
from mmgraph.connectors import linear
from mmgraph.datasets import Dataset
from mmgraph.heads import flow, next_token
from mmgraph.models import Optimization, UnifiedModel
from mmgraph.processors import single
from mmgraph.sequence import Sample, Segment
from mmgraph.testing.stand_ins import pictures
from mmgraph.tokenizers import patch, word
from tests.tiny import SIZE, TEXTS, aim

STEPS = 20
ITEMS = 24


class Captioned(Dataset):
    """Twenty-four pictures with captions of different lengths."""

    supported_tasks = ("draw", "name")

    def __init__(self, batch_size: int, tasks: Mapping[str, float]) -> None:
        super().__init__(batch_size, tasks)
        self.pictures = pictures(ITEMS, SIZE)

    def items(self, split: str) -> Sequence[int]:
        return range(ITEMS)

    def sample(self, split: str, item: int, task: str, rng: random.Random) -> Sample:
        text, image = Segment("text", TEXTS[item % len(TEXTS)]), Segment("image", self.pictures[item])
        return Sample((text, aim(image)) if task == "draw" else (image, aim(text)), task, item)

    def contents(self, modality: str) -> Iterable[Any]:
        return TEXTS if modality == "text" else self.pictures

    def evaluation(self, split: str, task: str, limit: int | None = None) -> list[Sample]:
        return [self.sample(split, item, task, random.Random(0)) for item in range(5)][:limit]


class Losses(Callback):
    """Keeps each step's losses, averaged over the processes."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        names = ("train_loss", "train_text", "train_image")
        self.steps.append({name: float(trainer.callback_metrics[name]) for name in names})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--devices", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True, help="samples per process")
    parser.add_argument("--draw", type=float, default=1.0, help="weight of drawing beside naming")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    torch.manual_seed(0)
    model = UnifiedModel(
        single(),
        {"text": word(), "image": patch(SIZE, 4)},
        block=dense(4),
        heads={"text": next_token(), "image": flow()},
        connectors={"image": linear()},
        dim=32,
        depth=2,
        condition_dropout={"text": 0.2},
        optimization=Optimization(warmup_steps=2),
    )
    losses = Losses()
    trainer = Trainer(
        accelerator="cpu",
        strategy="ddp" if options.devices > 1 else "auto",
        devices=options.devices,
        max_steps=STEPS,
        callbacks=[losses],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, datamodule=Captioned(options.batch, {"draw": options.draw, "name": 1.0}))
    validation = {name: float(v) for name, v in trainer.callback_metrics.items() if name.startswith("val")}
    if trainer.is_global_zero:
        options.out.write_text(json.dumps({"steps": losses.steps, "validation": validation}))


if __name__ == "__main__":
    main()
