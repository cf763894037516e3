"""Drawing: the open image at the end of each sample, by whatever head scores it.

Heads without shift give their whole span again and again over one prefix; heads with blocks give one block after
another and heads with shift one token from the last, both over a growing cache. The halves of guidance run as one
batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from mmgraph.errors import UsageError
from mmgraph.heads import Head
from mmgraph.models.assembly import Assembly
from mmgraph.models.grouping import Group
from mmgraph.models.unified import UnifiedModel
from mmgraph.prompting import Guidance, evaluating, guidance_scale, head_of, prefix_of
from mmgraph.randomness import SampleRandom
from mmgraph.reading import (
    CachedBlockReader,
    CachedSpanReader,
    CachedTurnReader,
    PlainBlockReader,
    PlainSpanReader,
    PlainTurnReader,
)
from mmgraph.sequence import Sample, Span, lay_out
from mmgraph.tokenizers import Tokenizer

Watch = Callable[[Tensor, "Tensor | None"], None]
Read = Callable[[Tensor, "Tensor | None"], "tuple[Tensor, Tensor | None]"]


@torch.inference_mode()
def paint(
    model: UnifiedModel,
    samples: Sequence[Sample],
    *,
    guidance: Guidance | None = None,
    num_steps: int | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    use_cache: bool = True,
    watch: Watch | None = None,
) -> Iterator[Tensor]:
    """Yield, step by step, uint8 pictures `(N, C, height, width)` for the open image at each sample's end.

    Each picture is decoded when it is asked for; to have only the last, use `draw` or `picture_tokens`.

    Args:
        model: A trained model.
        samples: Their last segment is an image with content None.
        guidance: Scale of the guidance on text, or by modality; prediction = null + scale (given - null).
        num_steps: Steps of the head's sampler; heads that draw one token after another take as many as there are.
        temperature: For heads that sample categories.
        seed: With each sample's key, decides the noise.
        use_cache: False reads the prefix again at each step (for tests and timing).
        watch: Called at each step with what the model reads in place of the tokens, `(N, n, ...)`, and their time
            `(N,)`, None where the head has none.

    Reference:
        Ho and Salimans, Classifier-Free Diffusion Guidance, 2022 (arXiv 2207.12598).
    """
    options: dict[str, Any] = {"guidance": guidance, "num_steps": num_steps, "temperature": temperature}
    span: Span = model.spans(samples[0], False)[-1]
    for tokens in picture_tokens(model, samples, **options, seed=seed, use_cache=use_cache, watch=watch):
        yield decode(model, span, tokens)


@torch.inference_mode()
def decode(model: UnifiedModel, span: Span, tokens: Tensor) -> Tensor:
    """Return uint8 pictures `(N, C, height, width)` of a span's tokens by rising place.

    Places not drawn yet are grey; of tokens of several scales, the whole scales that are there are shown.
    """
    tokenizer = model.tokenizer(span.tokenizer)
    n, k = tokenizer.num_tokens, tokens.shape[1]
    if k == n:
        return tokenizer.decode(tokens).cpu()
    scales = _scales(tokenizer)
    if scales:
        whole = max(end for end in (0, *accumulate(side * side for side in scales)) if end <= k)
        return tokenizer.decode(tokens[:, :whole]).cpu()
    order = head_of(model, span).places(n)
    drawn = torch.arange(k) if order is None else order[:k].sort().values
    filled = tokens[:, -1:].repeat(1, n, *[1] * (tokens.ndim - 2))
    filled[:, drawn] = tokens
    pictures = tokenizer.decode(filled).cpu()
    rows, columns = tokenizer.grid
    shown = torch.zeros(rows * columns, dtype=torch.bool).index_fill(0, drawn.cpu(), True).view(1, 1, rows, columns)
    size = pictures.shape[2] // rows, pictures.shape[3] // columns
    shown = shown.repeat_interleave(size[0], 2).repeat_interleave(size[1], 3)
    return torch.where(shown, pictures, pictures.new_tensor(128))


def _scales(tokenizer: Tokenizer) -> tuple[int, ...]:
    """Return the sides of a multi-scale tokenizer's grids, nothing for others."""
    try:
        return tokenizer.scales
    except UsageError:
        return ()


@torch.inference_mode()
def picture_tokens(
    model: UnifiedModel,
    samples: Sequence[Sample],
    *,
    guidance: Guidance | None = None,
    num_steps: int | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    use_cache: bool = True,
    watch: Watch | None = None,
) -> Iterator[Tensor]:
    """Yield the tokens of the open images so far: the tokenizer's codes `(N, k)` or vectors `(N, k, d)`.

    Arguments are those of `paint`.
    """
    with evaluating(model):
        scale = guidance_scale(model.sampling.guidance if guidance is None else guidance)
        span, prefix, n = prefix_of(model, samples, seed, contrast=scale != 1.0)
        head = head_of(model, span)
        rows, copies = len(samples), prefix.layout.shape[0] // len(samples)
        steps = n if head.shift else num_steps or model.sampling.num_steps
        random = SampleRandom(seed, [sample.key for sample in samples])
        allowed = model.vocabulary.allowed(span.tokenizer) if head.discrete else None
        guide = _Guide(head, scale, allowed)
        read = _reads(model, head, span, prefix, n, use_cache)

        def run(inputs: Tensor, time: Tensor | None) -> Tensor:
            if watch is not None:
                watch(inputs, time)
            inputs = inputs.to(model.device).repeat(copies, *[1] * (inputs.ndim - 1))
            return guide(head.predict(*read(inputs, time)), rows)

        lead = (rows,) if head.shift else (rows, n)
        shape = lead if head.discrete else (*lead, model.tokenizer(span.tokenizer).token_dim)
        for tokens in head.sample(run, shape, num_steps=steps, random=random, temperature=temperature):
            found = head.arrange(tokens)
            yield model.vocabulary.codes(span.tokenizer, found) if head.discrete else found


class _Guide:
    """Joins the prediction with the condition and the one without, and forbids what is no code of the picture."""

    def __init__(self, head: Head, scale: float, allowed: Tensor | None) -> None:
        self.head = head
        self.scale = scale
        self.allowed = allowed

    def __call__(self, given: Tensor, rows: int) -> Tensor:
        if len(given) > rows:
            told, untold = given.chunk(2)
            given = self.head.guide(told, untold, self.scale)
        return given if self.allowed is None else given.masked_fill(~self.allowed, -torch.inf)


def _reads(model: UnifiedModel, head: Head, span: Span, prefix: Assembly, n: int, use_cache: bool) -> Read:
    """Return what gives hidden states and conditioning for inputs: the whole span, a block, or one token a time."""
    if head.shift:
        turns: Any = (CachedTurnReader if use_cache else PlainTurnReader)(model, prefix, span, n)
        return lambda inputs, time: (turns.read(inputs) if inputs.numel() else turns.prefill(), None)
    piece = model.assembler.piece(span, n)
    if isinstance(piece.order, tuple):
        blocks: Any = (CachedBlockReader if use_cache else PlainBlockReader)(model, prefix, span, n)
        return lambda inputs, time: (blocks.read(inputs), None)
    rows = prefix.layout.shape[0]
    layout, _ = lay_out([[(piece,)] for _ in range(rows)])
    places = torch.arange(rows * layout.shape[1]).view(rows, -1)
    whole: Any = (CachedSpanReader if use_cache else PlainSpanReader)(model, prefix, layout)

    def read(inputs: Tensor, time: Tensor | None) -> tuple[Tensor, Tensor | None]:
        times = torch.ones(0) if time is None else time.repeat(rows // len(time))
        return whole.read(Group(span.tokenizer, span.connector, inputs, places, head=span.head), times)

    return read
