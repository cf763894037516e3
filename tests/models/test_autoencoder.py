"""Training tokenizers: the plain loss, features and a critic beside it, and resuming to the same bits."""

from __future__ import annotations

import pytest
import torch
from lightning.pytorch import Callback, Trainer

from mmgraph.cli.records import Reseed
from mmgraph.errors import UsageError
from mmgraph.models import EMA, Autoencoder, Optimization, load, save
from mmgraph.pictures import to_float
from mmgraph.testing.stand_ins import pictures
from mmgraph.tokenizers import multiscale_vq, patch, vq
from tests.models.twenty_steps import Captioned
from tests.tiny import SIZE

QUIET = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "accelerator": "cpu",
    "num_sanity_val_steps": 0,
}
VQGAN = {"perceptual_weight": 0.5, "adversarial_weight": 0.3, "adversarial_start": 2}


class Logged(Callback):
    """Keeps what each step logged."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer, *rest):
        self.steps.append({name: float(value) for name, value in trainer.callback_metrics.items()})


class Save(Callback):
    """Writes a checkpoint after the last step, before the average takes the weights' place."""

    def __init__(self, path, step) -> None:
        self.path, self.step = path, step

    def on_train_batch_end(self, trainer, *rest):
        if self.path is not None and trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


def tokenizer(cls=vq, **options):
    torch.manual_seed(0)
    return cls(SIZE, 2, num_codes=16, latent_dim=4, width=8, **options)


def model(**options) -> Autoencoder:
    return Autoencoder(tokenizer(), optimization=Optimization(warmup_steps=2), **options)


def fit(trained: Autoencoder, steps: int, ckpt_path=None, save_to=None, **options) -> Logged:
    logged = Logged()
    # a fixed plan: the schedule must not see that a run is cut short
    trained.configure_optimizers = lambda: trained.optimization.configure(trained, 6)  # type: ignore[method-assign]
    callbacks = [Reseed(0), EMA(0.8), logged, Save(save_to, steps)]
    trainer = Trainer(max_steps=steps, callbacks=callbacks, **QUIET, **options)
    data = Captioned(8, {"draw": 1.0})
    trainer.fit(trained, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
    return logged


@pytest.mark.parametrize("options", [{}, VQGAN])
def test_a_resumed_training_reaches_the_same_bits(options, tmp_path):
    whole, first, second = model(**options), model(**options), model(**options)
    straight = fit(whole, 6)
    fit(first, 3, save_to=tmp_path / "half.ckpt")
    resumed = fit(second, 6, ckpt_path=tmp_path / "half.ckpt")
    assert [step["train_loss"] for step in resumed.steps] == [step["train_loss"] for step in straight.steps[3:]]
    ours, theirs = whole.state_dict(), second.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    if options:
        critic = whole._adversary[0].critic.state_dict()
        assert all(
            torch.equal(value, second._adversary[0].critic.state_dict()[name]) for name, value in critic.items()
        )


def test_the_plain_loss_is_its_formula_and_has_no_critic():
    trained = model(absolute_weight=0.5).eval()
    data = torch.stack(pictures(4, SIZE))
    given, fidelity, auxiliary = _quiet(trained)._reconstruct(to_float(data), "val")
    error = given - to_float(data)
    torch.testing.assert_close(fidelity, error.square().mean() + 0.5 * error.abs().mean())
    torch.testing.assert_close(auxiliary, trained.tokenizer.reconstruct(to_float(data))[1]["commitment"])
    assert trained._adversary == trained._perceptual == ()


def test_what_is_logged_tells_codes_and_critic():
    logged = fit(model(**VQGAN), 4)
    assert {"train_codebook_use", "train_perplexity", "train_commitment", "train_perceptual"} <= set(logged.steps[0])
    assert "train_critic_loss" not in logged.steps[1]
    assert {"train_critic_loss", "train_adversarial", "train_adaptive_weight"} <= set(logged.steps[2])
    plain = fit(model(), 2)
    assert not {name for name in plain.steps[-1] if "critic" in name or "perceptual" in name}


def test_neither_critic_nor_perceptual_network_is_saved_with_the_model(tmp_path):
    trained = model(**VQGAN)
    fit(trained, 3, save_to=tmp_path / "last.ckpt")
    assert set(trained.state_dict()) == set(model().state_dict())
    assert len(list(trained.parameters())) == len(list(model().parameters()))
    save(trained, tmp_path / "model")
    data = torch.stack(pictures(4, SIZE))
    assert torch.equal(load(tmp_path).tokenizer.encode(data), trained.eval().tokenizer.encode(data))
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert set(checkpoint["adversary"]) == {"critic", "optimizer"}


def test_a_trained_tokenizer_is_standardised_and_validated_with_its_average():
    trained = model()
    fit(trained, 3, limit_val_batches=1, val_check_interval=3)
    assert trained.tokenizer.fitted


def test_a_multi_scale_tokenizer_trains():
    trained = Autoencoder(tokenizer(multiscale_vq, sides=[1, 2, 4]), optimization=Optimization(warmup_steps=2))
    logged = fit(trained, 5)
    assert logged.steps[-1]["train_squared_error"] < logged.steps[0]["train_squared_error"]
    assert "train_refinement" in logged.steps[-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"perceptual_weight": -1.0}, "perceptual_weight must be 0 or more, not -1"),
        ({"adversarial_weight": -0.5}, "adversarial_weight"),
    ],
)
def test_refuses_negative_weights(options, message):
    with pytest.raises(UsageError, match=message):
        model(**options)


def test_a_tokenizer_without_a_last_layer_meets_no_critic():
    with pytest.raises(UsageError, match="names no last layer"):
        Autoencoder(patch(8, 4), adversarial_weight=0.1)


def _quiet(trained: Autoencoder) -> Autoencoder:
    trained.log = lambda *rest, **options: None  # type: ignore[method-assign]
    return trained
