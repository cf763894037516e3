"""CLIP in miniature: an image encoder and a text encoder that agree on which picture goes with which caption."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from mmgraph.blocks import Block
from mmgraph.configured import Configured
from mmgraph.errors import RunError, UsageError
from mmgraph.models.optimization import Optimization
from mmgraph.pictures import to_float
from mmgraph.sequence import MultimodalSequence, Piece, Sample, lay_out
from mmgraph.tokenizers import Tokenizer


class Contrastive(Configured, lightning.LightningModule):
    r"""Pictures and captions in one space; matching pairs close, others apart.

    \[ L = -\frac{1}{2N}\sum_{i}\Big[\sum_j P_{ij} \log\mathrm{softmax}_j(s\,u_i\cdot v_j) +
       \sum_j P_{ij} \log\mathrm{softmax}_j(s\,v_i\cdot u_j)\Big] \]

    with unit vectors u of pictures and v of captions, a learned scale s, and P the identity where all captions of
    the batch differ; equal captions share their row's weight, since a picture cannot tell them apart.

    Args:
        tokenizers: `image`, whose features are trained, and `text`.
        block: Prototype of a layer of the text encoder; `depth` fresh copies are made.
        dim: Width of the text encoder.
        depth: Layers of the text encoder.
        embedding_dim: Width of the shared space.
        max_text: Most tokens of a caption.
        optimization: Optimiser and schedule.

    Raises:
        UsageError: If a tokenizer is missing or cannot be trained so.

    Reference:
        Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021 (arXiv 2103.00020);
        Yang et al., Unified Contrastive Learning in Image-Text-Label Space, 2022 (arXiv 2204.03610).
    """

    def __init__(
        self,
        tokenizers: dict[str, Tokenizer],
        *,
        block: Block,
        dim: int = 128,
        depth: int = 2,
        embedding_dim: int = 64,
        max_text: int = 40,
        optimization: Optimization = Optimization(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__()
        if set(tokenizers) != {"image", "text"} or not tokenizers["text"].discrete or tokenizers["image"].discrete:
            raise UsageError(
                "a contrastive model has two tokenizers, `image` (continuous) and `text` (discrete); got "
                f"{', '.join(sorted(tokenizers)) or 'none'}."
            )
        self.tokenizers = nn.ModuleDict(tokenizers)
        self.dim = dim
        self.depth = depth
        self.embedding_dim = embedding_dim
        self.max_text = max_text
        self.optimization = optimization
        self._prototype = (block,)  # in a tuple: its own copies are the model's, not the prototype
        self.built = False

    def tokenizer(self, name: str) -> Tokenizer:
        """Return the tokenizer called `image` or `text`."""
        return self.tokenizers[name]  # type: ignore[return-value]

    def configure_model(self) -> None:
        """Fit the text tokenizer on the training captions and create what depends on its size; once."""
        if self.built:
            return
        text = self.tokenizer("text")
        if not text.fitted:
            data = getattr(self._trainer, "datamodule", None) if self._trainer is not None else None
            if data is None:
                raise UsageError("tokenizer 'text' is not fitted; call `model.tokenizer('text').fit(captions)` first.")
            text.fit(data.contents("text"))
        self.build()

    def build(self) -> None:
        """Create the text encoder and the projections into the shared space."""
        if self.built:
            return
        # one more id: it closes a caption, and its state stands for the whole
        self.embedding = nn.Embedding(self.tokenizer("text").codebook_size + 1, self.dim)
        self.positions = nn.Embedding(self.max_text, self.dim)
        self.blocks = nn.ModuleList()
        for _ in range(self.depth):
            block = self._prototype[0].spawn()
            block.build(self.dim, 0)
            self.blocks.append(block)
        width = self.tokenizer("image").token_dim
        self.image_projection = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, self.embedding_dim, bias=False))
        self.text_projection = nn.Sequential(nn.RMSNorm(self.dim), nn.Linear(self.dim, self.embedding_dim, bias=False))
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.built = True

    def embed_pictures(self, pictures: Tensor) -> Tensor:
        """Return unit vectors `(N, embedding_dim)` of uint8 pictures `(N, C, height, width)`."""
        features = self.tokenizer("image").features(to_float(pictures.to(self.device)))  # (N, n, d)
        return F.normalize(self.image_projection(features.mean(1)), dim=-1)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Return unit vectors `(N, embedding_dim)` of captions.

        Raises:
            UsageError: If a caption is too long.
        """
        codes = self.tokenizer("text").encode(list(texts))
        longest = max((len(code) for code in codes), default=0) + 1
        if longest > self.max_text:
            raise UsageError(f"a caption has {longest} tokens, the model holds {self.max_text}; raise model.max_text.")
        end = self.embedding.num_embeddings - 1
        rows = [torch.cat((code, torch.tensor([end]))) for code in codes]
        ids = pad_sequence(rows, batch_first=True, padding_value=end).to(self.device)
        layout = lay_out([[(Piece(len(row)),)] for row in rows])[0].to(self.device)
        hidden = self.embedding(ids) + self.positions(layout.position)  # (N, L, D)
        sequence = MultimodalSequence(hidden, layout)
        for block in self.blocks:
            hidden, _ = block(hidden, sequence)
        ends = torch.tensor([len(row) - 1 for row in rows], device=self.device)
        return F.normalize(self.text_projection(hidden[torch.arange(len(rows), device=self.device), ends]), dim=-1)

    def similarities(self, pictures: Tensor, texts: Sequence[str]) -> Tensor:
        """Return the cosine of each picture with each text, `(pictures, texts)`."""
        return self.embed_pictures(pictures) @ self.embed_texts(texts).T

    # -- training -------------------------------------------------------------------------------------------

    def loss(self, pictures: Tensor, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return the contrastive loss and the share of pictures that find their own caption in the batch."""
        logits = self.log_scale.exp().clamp_max(100) * self.similarities(pictures, texts)
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        label = torch.tensor([places[text] for text in texts], device=logits.device)
        same = (label[:, None] == label).to(logits)
        targets = same / same.sum(1, keepdim=True)
        loss = (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2
        found = same.gather(1, logits.argmax(1, keepdim=True)).mean()
        return loss, found.detach()

    def training_step(self, batch: list[Sample], batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        return self._step(batch, "train")

    def validation_step(self, batch: list[Sample], batch_idx: int) -> Tensor:
        """Return the loss of held-out pairs."""
        return self._step(batch, "val")

    def test_step(self, batch: list[Sample], batch_idx: int) -> Tensor:
        """Return the loss of test pairs."""
        return self._step(batch, "test")

    def _step(self, batch: list[Sample], stage: str) -> Tensor:
        pictures, texts = pairs(batch)
        loss, found = self.loss(pictures, texts)
        self.log(f"{stage}_loss", loss.detach(), prog_bar=True, batch_size=len(texts))
        self.log(f"{stage}_retrieval", found, batch_size=len(texts))
        return loss

    def on_train_end(self) -> None:
        """Measure the statistics of the image features on training pictures."""
        data = getattr(self.trainer, "datamodule", None)
        if data is not None:
            self.tokenizer("image").standardize(picture.to(self.device) for picture in data.contents("image"))

    def configure_optimizers(self) -> Any:
        """Return AdamW and its schedule over the trainer's planned steps."""
        return self.optimization.configure(self, self.trainer.estimated_stepping_batches)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the text tokenizer's fitted state first: the sizes of everything else follow from it."""
        self.load_tokenizers(checkpoint["state_dict"])

    def load_tokenizers(self, state: Mapping[str, Tensor]) -> None:
        """Load the tokenizers' part of a state and build the model for it."""
        prefix = "tokenizers."
        own = {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
        self.tokenizers.load_state_dict(own)
        self.build()


def pairs(batch: Sequence[Sample]) -> tuple[Tensor, list[str]]:
    """Return the pictures `(N, C, height, width)` and captions of samples that have one of each.

    Raises:
        RunError: If no sample is such a pair.
    """
    found = []
    for sample in batch:
        pictures = [segment.content for segment in sample.segments if segment.modality == "image"]
        texts = [segment.content for segment in sample.segments if segment.modality == "text"]
        if len(pictures) == len(texts) == 1 and sample.task != "ask":
            found.append((pictures[0], texts[0]))
    if not found:
        raise RunError("a contrastive model trains on pictures with captions, and this batch has none; give task draw.")
    return torch.stack([picture for picture, _ in found]), [text for _, text in found]
