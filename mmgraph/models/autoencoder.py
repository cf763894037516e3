"""Trains a visual tokenizer: reconstruct the picture through its tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from mmgraph.configured import Configured
from mmgraph.errors import RunError
from mmgraph.models.optimization import Optimization
from mmgraph.pictures import to_float
from mmgraph.sequence import Sample
from mmgraph.tokenizers import Tokenizer


class Autoencoder(Configured, lightning.LightningModule):
    r"""A tokenizer and the loss of its reconstructions.

    \[L = (\lVert \hat x - x \rVert_2^2 + \lambda \lVert \hat x - x \rVert_1) / CS^2 + L_\mathrm{tok} \]

    Args:
        tokenizer: What is trained; it must have weights.
        absolute_weight: The weight of the absolute error, which keeps edges sharp.
        optimization: Optimiser and schedule.

    Raises:
        UsageError: If the tokenizer has nothing to train.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        absolute_weight: float = 1.0,
        optimization: Optimization = Optimization(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__()
        self.tokenizers = nn.ModuleDict({"image": tokenizer})  # the part's name in every model
        self.absolute_weight = absolute_weight
        self.optimization = optimization

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that is trained."""
        return self.tokenizers["image"]  # type: ignore[return-value]

    def training_step(self, batch: list[Sample], batch_idx: int) -> Tensor:
        """Return the loss on the pictures of a batch."""
        return self._loss(batch, "train")

    def validation_step(self, batch: list[Sample], batch_idx: int) -> Tensor:
        """Return the loss on held-out pictures."""
        return self._loss(batch, "val")

    def test_step(self, batch: list[Sample], batch_idx: int) -> Tensor:
        """Return the loss on test pictures."""
        return self._loss(batch, "test")

    def predict_step(self, batch: list[Sample], batch_idx: int) -> Tensor:
        """Return uint8 reconstructions."""
        return self.tokenizer.decode(self.tokenizer.encode(self._pictures(batch)))

    def _loss(self, batch: list[Sample], stage: str) -> Tensor:
        pictures = to_float(self._pictures(batch))
        given, auxiliary = self.tokenizer.reconstruct(pictures)
        error = given - pictures
        loss = error.square().mean() + self.absolute_weight * error.abs().mean()
        for name, value in auxiliary.items():
            loss = loss + value
            self.log(f"{stage}_{name}", value.detach(), batch_size=len(batch))
        for name, value in self.tokenizer.measures().items():
            self.log(f"{stage}_{name}", value, batch_size=len(batch))
        self.log(f"{stage}_squared_error", error.detach().square().mean(), batch_size=len(batch))
        self.log(f"{stage}_loss", loss.detach(), prog_bar=True, batch_size=len(batch))
        return loss

    def _pictures(self, batch: list[Sample]) -> Tensor:
        found = [segment.content for sample in batch for segment in sample.segments if segment.modality == "image"]
        if not found:
            raise RunError("an autoencoder trains on pictures, and this batch has none; give tasks with pictures.")
        return torch.stack(found).to(self.device)

    def on_train_end(self) -> None:
        """Measure the statistics of the latents on training pictures."""
        data = getattr(self.trainer, "datamodule", None)
        if data is not None:
            self.tokenizer.standardize(picture.to(self.device) for picture in data.contents("image"))

    def configure_optimizers(self) -> Any:
        """Return AdamW and its schedule over the trainer's planned steps."""
        return self.optimization.configure(self, self.trainer.estimated_stepping_batches)

    def load_tokenizers(self, state: Mapping[str, Tensor]) -> None:
        """Let the statistics take the shapes of the state that is loaded next."""
        prefix = "tokenizers.image."
        own = {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
        self.tokenizer.load_state_dict(own)
