"""Drawing: the open image at the end of each sample, by whatever head scores it.

Heads without shift give their whole span again and again over one prefix; heads with blocks give one block after
another and heads with shift one token from the last, both over a growing cache. Heads apart hear the prefix once and
draw with a network of their own. The halves of guidance run as one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from mmgraph.errors import UsageError
from mmgraph.heads import Head
from mmgraph.models.assembly import Assembly
from mmgraph.models.grouping import Group
from mmgraph.models.unified import UnifiedModel
from mmgraph.prompting import Guidances, contrasts, evaluating, head_of, prefix_of
from mmgraph.randomness import SampleRandom
from mmgraph.reading import (
    CachedBlockReader,
    CachedSpanReader,
    CachedTurnReader,
    PlainBlockReader,
    PlainSpanReader,
    PlainTurnReader,
    tell,
)
from mmgraph.sequence import Sample, Segment, Span, lay_out
from mmgraph.tokenizers import Tokenizer
from mmgraph.writing import write

Watch = Callable[[Tensor, "Tensor | None"], None]
Read = Callable[[Tensor, "Tensor | None"], "tuple[Tensor, Tensor | None]"]


@torch.inference_mode()
def paint(
    model: UnifiedModel,
    samples: Sequence[Sample],
    *,
    guidance: Guidances | None = None,
    num_steps: int | None = None,
    temperature: float = 1.0,
    sampler: str | None = None,
    sampler_options: Mapping[str, Any] | None = None,
    seed: int = 0,
    use_cache: bool = True,
    watch: Watch | None = None,
) -> Iterator[Tensor]:
    """Yield, step by step, uint8 pictures `(N, C, height, width)` for the open image at each sample's end.

    Each picture is decoded when it is asked for; to have only the last, use `draw` or `picture_tokens`.

    Args:
        model: A trained model.
        samples: Their last segment is an image with content None.
        guidance: Scale of the guidance on text, or by modality; prediction = null + scale (given - null). A list gives
            each sample its own.
        num_steps: Steps of the head's sampler; heads that draw one token after another take as many as there are.
        temperature: For heads that sample categories.
        sampler: Another sampler than the head's own, by its name in diffusers; None = the head's.
        sampler_options: Its options.
        seed: With each sample's key, decides the noise.
        use_cache: False reads the prefix again at each step (for tests and timing).
        watch: Called at each step with what the model reads in place of the tokens, `(N, n, ...)`, and their time
            `(N,)`, None where the head has none.

    Reference:
        Ho and Salimans, Classifier-Free Diffusion Guidance, 2022 (arXiv 2207.12598).
    """
    options: dict[str, Any] = {"guidance": guidance, "num_steps": num_steps, "temperature": temperature}
    options |= {"sampler": sampler, "sampler_options": sampler_options}
    span: Span = model.spans(samples[0], False)[-1]
    for tokens in picture_tokens(model, samples, **options, seed=seed, use_cache=use_cache, watch=watch):
        yield decode(model, span, tokens)


@torch.inference_mode()
def decode(model: UnifiedModel, span: Span, tokens: Tensor) -> Tensor:
    """Return uint8 pictures `(N, C, height, width)` of a span's tokens by rising place.

    Places not drawn yet are grey; of tokens of several scales, the whole scales that are there are shown.
    """
    if span.source == "tool":
        tool = _tool(model, span)
        opened = Sample((Segment("text", ""), Segment(span.modality, None, target=True)), "draw")
        return decode(tool, tool.spans(opened, False)[-1], tokens)
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
    guidance: Guidances | None = None,
    num_steps: int | None = None,
    temperature: float = 1.0,
    sampler: str | None = None,
    sampler_options: Mapping[str, Any] | None = None,
    seed: int = 0,
    use_cache: bool = True,
    watch: Watch | None = None,
) -> Iterator[Tensor]:
    """Yield the tokens of the open images so far: the tokenizer's codes `(N, k)` or vectors `(N, k, d)`.

    Arguments are those of `paint`.
    """
    last = model.spans(samples[0], False)[-1]
    if last.source == "tool":
        asked = [
            Sample((Segment("text", prompt), Segment(last.modality, None, target=True)), "draw", sample.key)
            for sample, prompt in zip(samples, tool_prompts(model, samples, seed=seed), strict=True)
        ]
        options: dict[str, Any] = {"num_steps": num_steps, "temperature": temperature, "use_cache": use_cache}
        options |= {"sampler": sampler, "sampler_options": sampler_options, "watch": watch}
        yield from picture_tokens(_tool(model, last), asked, guidance=guidance, seed=seed, **options)
        return
    with evaluating(model):
        scales = contrasts(model, model.sampling.guidance if guidance is None else guidance, len(samples))
        span, prefix, n = prefix_of(model, samples, seed, contrast=list(scales))
        head = head_of(model, span)
        if sampler is None and sampler_options:
            raise UsageError("sampler_options are those of a sampler; name one with `sampler`.")
        if sampler is not None:
            head = head.with_sampler(sampler, sampler_options)
        rows, copies = len(samples), prefix.layout.shape[0] // len(samples)
        steps = n if head.shift else num_steps or model.sampling.num_steps
        random = SampleRandom(seed, [sample.key for sample in samples])
        allowed = model.vocabulary.allowed(span.tokenizer) if head.discrete else None
        guide = _Guide(head, list(scales.values()), allowed)
        predict = _predicts(model, head, span, prefix, n, use_cache)

        def run(inputs: Tensor, time: Tensor | None) -> Tensor:
            if watch is not None:
                watch(inputs, time)
            inputs = inputs.to(model.device).repeat(copies, *[1] * (inputs.ndim - 1))
            return guide(predict(inputs, time), rows)

        lead = (rows,) if head.shift else (rows, n)
        shape = lead if head.discrete else (*lead, model.tokenizer(span.tokenizer).token_dim)
        for tokens in head.sample(run, shape, num_steps=steps, random=random, temperature=temperature):
            found = head.arrange(tokens)
            yield model.vocabulary.codes(span.tokenizer, found) if head.discrete else found


def tool_prompts(model: UnifiedModel, samples: Sequence[Sample], *, seed: int = 0) -> list[str]:
    """Return what the model asks of its tool for the open image at each sample's end; nothing where it has no tool."""
    if model.spans(samples[0], False)[-1].source != "tool":
        return []
    asking = Segment("text", None, target=True)
    opened = [replace(sample, segments=(*sample.segments[:-1], asking)) for sample in samples]
    return [text for text, _ in write(model, opened, seed=seed)]


def _tool(model: UnifiedModel, span: Span) -> UnifiedModel:
    assert span.head is not None
    return model.tools[span.head].model  # type: ignore[return-value]


class _Guide:
    """Joins predictions with more and with fewer conditions, and forbids what is no code of the picture.

    With text T and graph G: e() + s_T (e(T) - e()) + s_G (e(T, G) - e(T)), as in InstructG2I (arXiv 2410.07157).
    """

    def __init__(self, head: Head, scales: Sequence[float | Tensor], allowed: Tensor | None) -> None:
        self.head = head
        self.scales = scales
        self.allowed = allowed
        if len(scales) > 1 and type(head).guide is not Head.guide:
            raise UsageError(
                f"{type(head).__name__} mixes two predictions in a way of its own, so it is guided by one condition at "
                f"a time, not by {len(scales)}; give a scale other than 1 to one of them."
            )

    def __call__(self, given: Tensor, rows: int) -> Tensor:
        if self.scales:
            *more, found = given.chunk(1 + len(self.scales))
            before = found
            for number, (told, scale) in enumerate(zip(reversed(more), self.scales, strict=True)):
                if isinstance(scale, Tensor):
                    scale = scale.to(told).view(-1, *[1] * (told.ndim - 1))
                found = self.head.guide(told, before, scale) if number == 0 else found + scale * (told - before)
                before = told
            given = found
        return given if self.allowed is None else given.masked_fill(~self.allowed, -torch.inf)


def _predicts(
    model: UnifiedModel, head: Head, span: Span, prefix: Assembly, n: int, use_cache: bool
) -> Callable[[Tensor, Tensor | None], Tensor]:
    """Return what gives the head's prediction for inputs and time, row by row of the prefix."""
    if not head.apart:
        read = _reads(model, head, span, prefix, n, use_cache)
        return lambda inputs, time: head.predict(*read(inputs, time))
    told: Tensor | None = None

    def predict(inputs: Tensor, time: Tensor | None) -> Tensor:
        nonlocal told
        if told is None or not use_cache:  # the body runs once for a picture; only the head's network sees each step
            told = head.predict(tell(model, head, prefix))
        times = None if time is None else time.to(model.device).repeat(len(inputs) // len(time))
        return head.denoise(inputs, times, told)

    return predict


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
