"""Trains a visual tokenizer: reconstruct the picture through its tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from mmgraph.configured import Configured
from mmgraph.errors import RunError, UsageError
from mmgraph.models.critic import Adversary, balance
from mmgraph.models.optimization import Optimization
from mmgraph.pictures import to_float
from mmgraph.sequence import Sample
from mmgraph.tokenizers import Tokenizer

ADVERSARY = "adversary"
"""Where a checkpoint keeps the critic."""


class Autoencoder(Configured, lightning.LightningModule):
    r"""A tokenizer and the loss of its reconstructions.

    \[ L = \frac{\lVert \hat x - x \rVert_2^2 + \lambda_1 \lVert \hat x - x \rVert_1}{C S^2} +
       \lambda_p L_\mathrm{perceptual} + \lambda_a \lambda L_G + L_\mathrm{tok} \]

    With both \(\lambda_p\) and \(\lambda_a\) this is VQGAN's loss: features of a frozen network bring texture, a
    critic that is trained beside (`mmgraph.models.critic`) brings sharpness, weighed by \(\lambda\), the ratio of
    the gradients at the decoder's last layer. Held-out losses leave the critic out: it differs from run to run.

    Args:
        tokenizer: What is trained; it must have weights.
        absolute_weight: The weight of the absolute error, which keeps edges sharp.
        perceptual_weight: The weight of the distance in features; 0: none.
        adversarial_weight: The weight of the critic's judgement; 0: none.
        adversarial_start: Step from which the critic is trained and heard; there must be something to judge.
        optimization: Optimiser and schedule; the critic's learning rate is the same.

    Raises:
        UsageError: If the tokenizer has nothing to train, or a weight is negative.

    Reference:
        Esser et al., Taming Transformers for High-Resolution Image Synthesis, 2021 (arXiv 2012.09841).
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        absolute_weight: float = 1.0,
        perceptual_weight: float = 0.0,
        adversarial_weight: float = 0.0,
        adversarial_start: int = 200,
        optimization: Optimization = Optimization(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__()
        weights = {"absolute": absolute_weight, "perceptual": perceptual_weight, "adversarial": adversarial_weight}
        for name, weight in weights.items():
            if weight < 0:
                raise UsageError(f"{name}_weight must be 0 or more, not {weight}.")
        self.tokenizers = nn.ModuleDict({"image": tokenizer})  # the part's name in every model
        self.absolute_weight = absolute_weight
        self.perceptual_weight = perceptual_weight
        self.adversarial_weight = adversarial_weight
        self.adversarial_start = adversarial_start
        self.optimization = optimization
        # in tuples: neither is a part of the model, to be averaged, optimised or saved with it
        self._perceptual: tuple[nn.Module, ...] = ()
        self._adversary: tuple[Adversary, ...] = ()
        if adversarial_weight:
            _ = tokenizer.last_layer  # refuse before training
            self._adversary = (Adversary(getattr(tokenizer, "channels", 3)),)

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that is trained."""
        return self.tokenizers["image"]  # type: ignore[return-value]

    def training_step(self, batch: list[Sample], batch_idx: int) -> Tensor:
        """Return the loss on the pictures of a batch; the critic takes its step before."""
        true = to_float(self._pictures(batch))
        given, fidelity, auxiliary = self._reconstruct(true, "train")
        loss = fidelity + auxiliary
        if self._adversary and self.global_step >= self.adversarial_start:
            loss = loss + self._adversarial(given, true, fidelity)
        self.log("train_loss", loss.detach(), prog_bar=True, batch_size=len(batch))
        return loss

    def validation_step(self, batch: list[Sample], batch_idx: int) -> Tensor:
        """Return the loss on held-out pictures."""
        return self._held_out(batch, "val")

    def test_step(self, batch: list[Sample], batch_idx: int) -> Tensor:
        """Return the loss on test pictures."""
        return self._held_out(batch, "test")

    def predict_step(self, batch: list[Sample], batch_idx: int) -> Tensor:
        """Return uint8 reconstructions."""
        return self.tokenizer.decode(self.tokenizer.encode(self._pictures(batch)))

    def _held_out(self, batch: list[Sample], stage: str) -> Tensor:
        _, fidelity, auxiliary = self._reconstruct(to_float(self._pictures(batch)), stage)
        loss = fidelity + auxiliary
        self.log(f"{stage}_loss", loss.detach(), prog_bar=True, batch_size=len(batch))
        return loss

    def _reconstruct(self, true: Tensor, stage: str) -> tuple[Tensor, Tensor, Tensor]:
        """Return what comes back, how far it is from the pictures, and the tokenizer's own losses."""
        given, losses = self.tokenizer.reconstruct(true)
        error = given - true
        fidelity = error.square().mean() + self.absolute_weight * error.abs().mean()
        told = {"squared_error": error.detach().square().mean(), **self.tokenizer.measures()}
        if self.perceptual_weight:
            distance = self._perceptual_loss()(given, true)
            fidelity = fidelity + self.perceptual_weight * distance
            told["perceptual"] = distance.detach()
        auxiliary = torch.zeros((), device=true.device)
        for name, value in losses.items():
            auxiliary = auxiliary + value
            told[name] = value.detach()
        for name, value in told.items():
            self.log(f"{stage}_{name}", value, batch_size=len(true))
        return given, fidelity, auxiliary

    def _adversarial(self, given: Tensor, true: Tensor, fidelity: Tensor) -> Tensor:
        """Let the critic take a step, and return its weighed judgement of the reconstructions."""
        (adversary,) = self._adversary
        adversary.to(true.device)
        learning_rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        critic_loss = adversary.learn(given, true, learning_rate)
        judgement = adversary.judge(given)
        weight = balance(fidelity, judgement, self.tokenizer.last_layer)
        told = {"critic_loss": critic_loss, "adversarial": judgement.detach(), "adaptive_weight": weight}
        for name, value in told.items():
            self.log(f"train_{name}", value, batch_size=len(true))
        return self.adversarial_weight * weight * judgement

    def _perceptual_loss(self) -> nn.Module:
        if not self._perceptual:
            from mmgraph.models.perceptual import PerceptualLoss

            self._perceptual = (PerceptualLoss().to(self.device),)
        return self._perceptual[0]

    def _pictures(self, batch: list[Sample]) -> Tensor:
        found = [segment.content for sample in batch for segment in sample.segments if segment.modality == "image"]
        if not found:
            raise RunError("an autoencoder trains on pictures, and this batch has none; give tasks with pictures.")
        return torch.stack(found).to(self.device)

    def on_train_end(self) -> None:
        """Measure the statistics of the tokens on training pictures."""
        data = getattr(self.trainer, "datamodule", None)
        if data is not None:
            self.tokenizer.standardize(picture.to(self.device) for picture in data.contents("image"))

    def configure_optimizers(self) -> Any:
        """Return AdamW and its schedule over the trainer's planned steps."""
        return self.optimization.configure(self, self.trainer.estimated_stepping_batches)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the critic, so that a resumed run goes on with it."""
        if self._adversary:
            checkpoint[ADVERSARY] = self._adversary[0].state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the critic of the run that is resumed."""
        if self._adversary and ADVERSARY in checkpoint:
            self._adversary[0].load_state_dict(checkpoint[ADVERSARY])

    def load_tokenizers(self, state: Mapping[str, Tensor]) -> None:
        """Let the statistics take the shapes of the state that is loaded next."""
        prefix = "tokenizers.image."
        own = {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
        self.tokenizer.load_state_dict(own)
