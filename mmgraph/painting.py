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
from mmgraph.models.assembly import Assembly, Group
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
        blocks = isinstance(model.assembler.piece(span, n).order, tuple)
        loop = _in_turn if head.shift else _by_block if blocks else _at_once
        steps = n if head.shift else num_steps or model.sampling.num_steps
        random = SampleRandom(seed, [sample.key for sample in samples])
        allowed = model.vocabulary.allowed(span.tokenizer) if head.discrete else None
        run, shape = loop(model, head, span, prefix, len(samples), n, _Guide(head, scale, allowed), use_cache, watch)
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


def _at_once(
    model: UnifiedModel,
    head: Head,
    span: Span,
    prefix: Assembly,
    rows: int,
    n: int,
    guide: _Guide,
    use_cache: bool,
    watch: Watch | None,
) -> tuple[Any, tuple[int, ...]]:
    """Return a run over the whole span, and the shape of its tokens."""
    copies = prefix.layout.shape[0] // rows
    piece = model.assembler.piece(span, n)
    layout, _ = lay_out([[(piece,)] for _ in range(rows * copies)])
    width = layout.shape[1]
    places = torch.arange(rows * copies * width).view(-1, width)
    reader: Any = CachedSpanReader(model, prefix, layout) if use_cache else PlainSpanReader(model, prefix, layout)

    def run(inputs: Tensor, time: Tensor | None) -> Tensor:
        if watch is not None:
            watch(inputs, time)
        inputs = inputs.to(model.device)
        times = torch.ones(0) if time is None else time.repeat(copies)
        tokens = inputs.repeat(copies, *[1] * (inputs.ndim - 1))
        group = Group(span.tokenizer, span.connector, tokens, places, head=span.head)
        return guide(head.predict(*reader.read(group, times)), rows)

    shape = (rows, n) if head.discrete else (rows, n, model.tokenizer(span.tokenizer).token_dim)
    return run, shape


def _by_block(
    model: UnifiedModel,
    head: Head,
    span: Span,
    prefix: Assembly,
    rows: int,
    n: int,
    guide: _Guide,
    use_cache: bool,
    watch: Watch | None,
) -> tuple[Any, tuple[int, ...]]:
    """Return a run over one block after another, and the shape of the whole."""
    copies = prefix.layout.shape[0] // rows
    reader: Any = (CachedBlockReader if use_cache else PlainBlockReader)(model, prefix, span, n)

    def run(inputs: Tensor, time: Tensor | None) -> Tensor:
        if watch is not None:
            watch(inputs, time)
        return guide(head.predict(reader.read(inputs.to(model.device).repeat(copies, *[1] * (inputs.ndim - 1)))), rows)

    return run, (rows, n) if head.discrete else (rows, n, model.tokenizer(span.tokenizer).token_dim)


def _in_turn(
    model: UnifiedModel,
    head: Head,
    span: Span,
    prefix: Assembly,
    rows: int,
    n: int,
    guide: _Guide,
    use_cache: bool,
    watch: Watch | None,
) -> tuple[Any, tuple[int, ...]]:
    """Return a run from the last token to the next, and the shape of one drawing."""
    copies = prefix.layout.shape[0] // rows
    reader: Any = (CachedTurnReader if use_cache else PlainTurnReader)(model, prefix, span, n)

    def run(last: Tensor, time: Tensor | None) -> Tensor:
        if watch is not None:
            watch(last, time)
        if last.numel() == 0:
            hidden = reader.prefill()
        else:
            hidden = reader.read(last.to(model.device).repeat(copies, *[1] * (last.ndim - 1)))
        return guide(head.predict(hidden), rows)

    return run, (rows,) if head.discrete else (rows, model.tokenizer(span.tokenizer).token_dim)
