"""The cosine between gradients: known angles, what is logged, and a training that does not notice."""

from __future__ import annotations

import math

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.loggers import Logger

from mmgraph.blocks import experts_by_modality, moe_topk
from mmgraph.connectors import linear
from mmgraph.errors import UsageError
from mmgraph.models import Autoencoder, GradientCosine
from mmgraph.models.conflict import gradient_cosines
from mmgraph.tokenizers import ae, byte, patch
from tests import tiny
from tests.evaluation.world import Squares


@pytest.mark.parametrize("degrees", [0, 30, 90, 135, 180])
def test_a_known_angle(degrees):
    """Two linear losses have their own directions as gradients, whatever their sizes."""
    weight = torch.randn(2, requires_grad=True)
    angle = math.radians(degrees)
    losses = {
        "image": 5 * weight @ torch.tensor([math.cos(angle), math.sin(angle)]),
        "text": 0.01 * weight @ torch.tensor([1.0, 0.0]),
    }
    found = gradient_cosines(losses, [weight])
    assert list(found) == [("image", "text")]
    assert float(found["image", "text"]) == pytest.approx(math.cos(angle), abs=1e-6)


def test_only_what_both_reach_counts():
    shared, own = torch.ones(3, requires_grad=True), torch.ones(5, requires_grad=True)
    losses = {"a": shared.sum() + 100 * own.sum(), "b": shared.sum() + 0 * own.sum(), "c": own.sum()}
    found = gradient_cosines(losses, [shared, own])
    assert float(found["a", "b"]) == pytest.approx(1.0)
    assert float(found["a", "c"]) == pytest.approx(1.0)
    assert float(found["b", "c"]) == 0.0


def test_many_weights_are_one_vector():
    weights = [torch.ones(2, requires_grad=True), torch.ones(3, 4, requires_grad=True)]
    directions = [[torch.randn_like(weight) for weight in weights] for _ in range(2)]
    losses = {
        name: torch.stack([(w * d).sum() for w, d in zip(weights, own, strict=True)]).sum()
        for name, own in zip("ab", directions, strict=True)
    }
    flat = [torch.cat([part.flatten() for part in own]) for own in directions]
    expected = torch.nn.functional.cosine_similarity(*flat, dim=0)
    torch.testing.assert_close(gradient_cosines(losses, weights)["a", "b"], expected)


class Kept(Logger):
    """A logger that keeps the cosines it is given, with their steps."""

    name, version = "kept", 0

    def __init__(self):
        super().__init__()
        self.told = []

    def log_metrics(self, metrics, step=None):
        self.told += [(step, name, value) for name, value in metrics.items() if name.startswith("gradient")]

    def log_hyperparams(self, *args, **options):
        pass


def trained(callbacks, tmp_path, steps: int = 5, **options):
    block = options.pop("block", None) or moe_topk(4, 4, dropout=0.2)
    model = tiny.model(tokenizers={"text": byte(), "image": patch(8, 4)}, block=block, **options).train()
    torch.manual_seed(1)
    trainer = Trainer(
        max_steps=steps, accelerator="cpu", logger=Kept(), enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path, callbacks=callbacks,
    )  # fmt: skip
    trainer.fit(model, datamodule=Squares({"draw": 1.0, "name": 1.0}))
    return model, trainer


def test_it_is_logged_every_n_steps_and_training_does_not_notice(tmp_path):
    """With dropout and a router, whose draws and numbers a careless measurement would move."""
    watched, trainer = trained([GradientCosine(2)], tmp_path)
    alone, plain = trained([], tmp_path)
    for name, value in alone.state_dict().items():
        assert torch.equal(value, watched.state_dict()[name]), name
    told = trainer.logger.told
    assert [(step, name) for step, name, _ in told] == [(k, "gradient_cosine_image_text") for k in (0, 2, 4)]
    assert all(-1 <= value <= 1 and value != 0 for *_, value in told)
    assert plain.logger.told == []
    assert all(torch.equal(trainer.logged_metrics[name], value) for name, value in plain.logged_metrics.items())


def test_parts_are_named_as_in_a_stage(tmp_path):
    watch = GradientCosine(1, parts=["blocks.*.experts.image"])
    _, trainer = trained([watch], tmp_path, steps=1, block=experts_by_modality(4))
    assert len(trainer.logger.told) == 1
    with pytest.raises(UsageError, match=r"'blocs', which has no parameters\. Did you mean 'blocks'"):
        trained([GradientCosine(1, parts=["blocs"])], tmp_path, steps=1)


def test_refusals(tmp_path):
    with pytest.raises(UsageError, match="every 0 steps; give 1 or more"):
        GradientCosine(0)
    with pytest.raises(UsageError, match="heads of a UnifiedModel; Autoencoder has none"):
        Trainer(logger=False, callbacks=[GradientCosine()], default_root_dir=tmp_path).fit(
            Autoencoder(ae(8, 2, latent_dim=4, width=8)), datamodule=Squares({"draw": 1.0})
        )


def test_a_connector_is_shared_by_nobody(tmp_path):
    """Pictures are only drawn here: the text's loss does not reach their connector, so they do not meet."""
    model = tiny.model(connectors={"image": linear()})
    found, _ = model.losses(model.assemble([s for s in tiny.samples() if s.task == "draw"]))
    losses = {name: total for name, (total, _) in found.items()}
    assert -1 <= float(gradient_cosines(losses, list(model.blocks.parameters()))["image", "text"]) <= 1
    only = [model.heads["image"].output.weight]
    assert float(gradient_cosines(losses, only)["image", "text"]) == 0.0
