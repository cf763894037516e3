"""The unified model's side of each comparison."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mmgraph import generation
from mmgraph.blocks import Block, dense
from mmgraph.connectors import linear
from mmgraph.heads import flow, next_token
from mmgraph.models import UnifiedModel
from mmgraph.processors import single
from mmgraph.sequence import Sample, Segment
from mmgraph.tokenizers import byte, patch, pca, word
from mmgraph.vocabulary import EOS
from tests.benchmarks.measuring import Clock, Side, now
from tests.benchmarks.sizes import Sizes

BATCHES = 4
GUIDANCE = 3.0
WORDS = ("red", "green", "blue", "fox", "house", "tree", "small", "big", "round", "old")


# -- models -------------------------------------------------------------------------------------------------


def text_model(sizes: Sizes, max_text: int) -> UnifiedModel:
    """Return a model of bytes alone."""
    torch.manual_seed(0)
    model = UnifiedModel(
        single(("text",), ()),
        {"text": byte()},
        block=dense(sizes.num_heads),
        heads={"text": next_token()},
        dim=sizes.dim,
        depth=sizes.depth,
        max_text=max_text,
    )
    model.build()
    return model


def mixed_model(sizes: Sizes, block: Block | None = None) -> UnifiedModel:
    """Return a model of bytes and raw patches; its time embedding is as wide as the other package's."""
    torch.manual_seed(0)
    model = UnifiedModel(
        single(),
        {"text": byte(), "image": patch(sizes.side * sizes.PATCH, sizes.PATCH)},
        block=block or dense(sizes.num_heads),
        heads={"text": next_token(), "image": flow()},
        connectors={"image": linear()},
        dim=sizes.dim,
        depth=sizes.depth,
        condition_dim=4 * sizes.dim,
        max_text=2 * sizes.text + 8,
    )
    model.build()
    return model


def recipe_model(sizes: Sizes, texts: Sequence[str], pictures: Sequence[Tensor]) -> UnifiedModel:
    """Return a model sized like a recipe's: whole words and 16 whitened patches a picture."""
    torch.manual_seed(0)
    tokenizers = {"text": word(), "image": pca(32, 8, components=48)}
    tokenizers["text"].fit(texts)
    tokenizers["image"].fit(pictures)
    model = UnifiedModel(
        single(),
        tokenizers,
        block=dense(8 if sizes.recipe_dim % 8 == 0 else 1),
        heads={"text": next_token(), "image": flow()},
        connectors={"image": linear()},
        dim=sizes.recipe_dim,
        depth=sizes.recipe_depth,
        condition_dropout={"text": 0.1},
    )
    model.build()
    return model


def count(model: torch.nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


# -- batches ------------------------------------------------------------------------------------------------


def text_batches(sizes: Sizes) -> list[list[Sample]]:
    """Return batches of random letters, as long as the sequence without its two markers."""
    random = torch.Generator().manual_seed(0)

    def sample(key: int) -> Sample:
        return Sample((Segment("text", _letters(sizes.length - 2, random), target=True),), "name", key)

    return [[sample(b * sizes.batch + row) for row in range(sizes.batch)] for b in range(BATCHES)]


def mixed_batches(sizes: Sizes, ragged: bool) -> list[list[Sample]]:
    """Return batches of text and a picture, both to be produced."""
    random = torch.Generator().manual_seed(0)
    pixels = sizes.side * sizes.PATCH

    def sample(key: int) -> Sample:
        text = Segment("text", _letters(sizes.text_length(key, ragged), random), target=True)
        picture = torch.randint(0, 256, (sizes.COLOURS, pixels, pixels), generator=random, dtype=torch.uint8)
        return Sample((text, Segment("image", picture, target=True)), "draw", key)

    return [[sample(b * sizes.batch + row) for row in range(sizes.batch)] for b in range(BATCHES)]


def recipe_batches(sizes: Sizes) -> list[list[Sample]]:
    """Return batches that draw, name and ask in turn, captions of one to six words."""
    random = torch.Generator().manual_seed(0)

    def sample(key: int) -> Sample:
        words = [WORDS[int(k)] for k in torch.randint(0, len(WORDS), (1 + key % 6,), generator=random)]
        picture = torch.randint(0, 256, (3, 32, 32), generator=random, dtype=torch.uint8)
        caption, image = " ".join(words), Segment("image", picture)
        if key % 4 < 2:
            segments = (Segment("text", caption), Segment("image", picture, target=True))
            return Sample(segments, "draw", key)
        if key % 4 == 2:
            return Sample((image, Segment("text", caption, target=True)), "name", key)
        return Sample((image, Segment("text", "which ?"), Segment("text", caption, target=True)), "ask", key)

    return [[sample(b * sizes.recipe_batch + row) for row in range(sizes.recipe_batch)] for b in range(BATCHES)]


def _letters(length: int, random: torch.Generator) -> str:
    return bytes(torch.randint(97, 123, (length,), generator=random).tolist()).decode()


# -- sides --------------------------------------------------------------------------------------------------


class BareLoop:
    """The training loop with nothing around it: assemble, losses, backward, optimiser, schedule."""

    def __init__(self, model: UnifiedModel, batches: Sequence[list[Sample]]) -> None:
        self.model = model
        self.batches = batches
        configured = model.optimization.configure(model, 10_000)
        self.optimizer = configured["optimizer"]
        self.schedule = configured["lr_scheduler"]["scheduler"]

    def run(self, steps: int) -> None:
        for step in range(steps):
            assembly = self.model.assemble(self.batches[step % len(self.batches)], seed=0, training=True)
            found, _ = self.model.losses(assembly)
            loss = torch.stack([total / terms.clamp_min(1) for total, terms in found.values()]).sum()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.schedule.step()


def text(sizes: Sizes) -> Side:
    model = text_model(sizes, sizes.length)
    return Side(BareLoop(model, text_batches(sizes)).run, count(model))


def mixed(sizes: Sizes, ragged: bool = False) -> Side:
    model = mixed_model(sizes)
    return Side(BareLoop(model, mixed_batches(sizes, ragged)).run, count(model))


def ragged(sizes: Sizes) -> Side:
    return mixed(sizes, ragged=True)


def wide(sizes: Sizes) -> Side:
    """Train on pictures of many tokens."""
    return mixed(sizes.wide)


def drawing(sizes: Sizes) -> Side:
    """Draw pictures of captions with guidance, in one batch."""
    model = mixed_model(sizes.wide)
    captions = [_letters(sizes.text, torch.Generator().manual_seed(row)) for row in range(sizes.drawn)]

    def run(times: int) -> None:
        for _ in range(times):
            generation.draw(model, captions, guidance=GUIDANCE, num_steps=sizes.draw_steps)

    return Side(run, count(model))


def bare(sizes: Sizes) -> Side:
    batches = recipe_batches(sizes)
    model = recipe_model(sizes, WORDS, _pictures(batches))
    return Side(BareLoop(model, batches).run, count(model))


class InMemory(LightningDataModule):
    """Batches that are there already."""

    def __init__(self, batches: Sequence[list[Sample]]) -> None:
        super().__init__()
        self.batches = batches

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.batches, batch_size=None, collate_fn=list)  # type: ignore[arg-type]

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return batch


class StopWatch(Callback):
    """Times the steps after the first, which carries the set-up."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.begin = self.end = 0.0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == 0:
            self.begin = now(self.clock)
        self.end = now(self.clock)


def lightning(sizes: Sizes) -> Side:
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    batches = recipe_batches(sizes)
    model = recipe_model(sizes, WORDS, _pictures(batches))

    def seconds(steps: int, clock: Clock) -> float:
        watch = StopWatch(clock)
        stream = [batches[step % len(batches)] for step in range(steps + 1)]
        trainer = Trainer(
            max_steps=steps + 1,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[watch],
        )
        trainer.fit(model, datamodule=InMemory(stream))
        return watch.end - watch.begin

    return Side(lambda steps: seconds(steps, "wall"), count(model), seconds)


def _pictures(batches: Sequence[Sequence[Sample]]) -> list[Tensor]:
    return [
        segment.content
        for batch in batches
        for sample in batch
        for segment in sample.segments
        if segment.modality == "image"
    ]


def decoding(sizes: Sizes, rows: int, use_cache: bool) -> Side:
    """Write `length` bytes after a short prompt."""
    model = text_model(sizes, sizes.length + 16)
    with torch.no_grad():
        model.vocabulary.output.weight[EOS] = 0  # never the most likely, so that every row runs to the end
    opened = Segment("text", None, target=True)
    samples = [Sample((Segment("text", _prompt(row)), opened), "name", row) for row in range(rows)]

    def run(times: int) -> list[str]:
        texts: list[str] = []
        for _ in range(times):
            written = generation.write(model, samples, max_tokens=sizes.length, use_cache=use_cache)
            texts = [text for text, _ in written]
        return texts

    return Side(run, count(model))


def _prompt(row: int) -> str:
    return "abcdefgh"[: 3 + row % 5]


def cached_one(sizes: Sizes) -> Side:
    return decoding(sizes, 1, use_cache=True)


def uncached_one(sizes: Sizes) -> Side:
    return decoding(sizes, 1, use_cache=False)


def cached_many(sizes: Sizes) -> Side:
    return decoding(sizes, sizes.batch, use_cache=True)


def uncached_many(sizes: Sizes) -> Side:
    return decoding(sizes, sizes.batch, use_cache=False)


def loading(sizes: Sizes) -> Side:
    """Draw batches from the emoji stream."""
    from mmgraph.datasets import emoji

    dataset = emoji(sizes.recipe_batch)

    def stream() -> Iterator[list[Sample]]:
        while True:
            yield from dataset.train_dataloader()

    batches = stream()

    def run(steps: int) -> None:
        for _ in range(steps):
            next(batches)

    return Side(run)


def emoji_step(sizes: Sizes) -> Side:
    """Train on batches of the emoji stream that are there already."""
    from mmgraph.datasets import emoji

    dataset = emoji(sizes.recipe_batch)
    model = recipe_model(sizes, list(dataset.contents("text")), list(dataset.contents("image")))
    stream = iter(dataset.train_dataloader())
    batches = [next(stream) for _ in range(BATCHES)]
    return Side(BareLoop(model, batches).run, count(model))


def codebook(sizes: Sizes) -> Side:
    """Quantise vectors forward and backward, the codes following."""
    from mmgraph_tokenizers.codebook import quantize

    module, batches = _codebook(sizes)

    def run(steps: int) -> None:
        for step in range(steps):
            vectors = batches[step % BATCHES].requires_grad_()
            passed, _, commitment = quantize(module, vectors)
            torch.autograd.grad(passed.square().mean() + 0.25 * commitment, vectors)

    return Side(run, sizes.codes * sizes.latent)


def codes(sizes: Sizes) -> Side:
    """Find the codes of vectors, nothing following."""
    from mmgraph_tokenizers.codebook import quantize

    module, batches = _codebook(sizes)
    quantize(module, batches[0])
    module.eval()

    @torch.no_grad()
    def run(steps: int) -> None:
        for step in range(steps):
            quantize(module, batches[step % BATCHES])

    return Side(run, sizes.codes * sizes.latent)


def _codebook(sizes: Sizes) -> tuple[nn.Module, Tensor]:
    from mmgraph_tokenizers.codebook import Codebook

    torch.manual_seed(0)
    vectors = torch.randn(BATCHES, sizes.batch, sizes.side**2, sizes.latent)
    return Codebook(sizes.codes, sizes.latent), vectors
