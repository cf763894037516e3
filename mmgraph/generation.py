"""The decode loop: write until a begin-of-image, draw until the image is done, go on writing.

Prompts of different lengths run as one batch. Text is decoded over a cache; while an image is denoised, the
prefix before it is computed once and the halves of guidance run as one batch. `paint`, `writing` and `stream` yield
what there is while it comes; the other verbs return it when it is done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mmgraph.models.unified import UnifiedModel
from mmgraph.painting import decode, paint, picture_tokens, tool_prompts
from mmgraph.prompting import Guidance, Guidances, contrasts, guidance_scale
from mmgraph.sequence import Sample, Segment
from mmgraph.writing import write, writing

__all__ = [
    "Guidance",
    "Guidances",
    "Part",
    "ask",
    "complete",
    "decode",
    "draw",
    "guidance_scale",
    "interleave",
    "name",
    "paint",
    "picture_tokens",
    "reconstruct",
    "stream",
    "tool_prompts",
    "write",
    "writing",
]


def draw(
    model: UnifiedModel,
    captions: Sequence[str],
    *,
    guidance: Guidances | None = None,
    num_steps: int | None = None,
    sampler: str | None = None,
    sampler_options: Mapping[str, Any] | None = None,
    seed: int = 0,
    batch_size: int = 128,
) -> Tensor:
    """Draw one picture per caption.

    Args:
        model: A trained model.
        captions: What to draw.
        guidance: Scale of classifier-free guidance; 1 = none; None = the model's default. A list gives each caption
            its own.
        num_steps: Steps of the sampler; None = the model's default.
        sampler: Another sampler than the head's own, by its name in diffusers; None = the head's.
        sampler_options: Its options.
        seed: With the caption's place in the list, decides the noise.
        batch_size: Captions drawn at once.

    Returns:
        uint8 pictures `(N, C, height, width)`.
    """
    samples = [
        Sample((Segment("text", caption), Segment("image", None, target=True)), "draw", number)
        for number, caption in enumerate(captions)
    ]
    own = guidance if isinstance(guidance, Sequence) else None
    if own is not None:
        contrasts(model, own, len(samples))  # refused before any is drawn
    options = {"num_steps": num_steps, "sampler": sampler, "sampler_options": sampler_options, "seed": seed}
    parts = []
    for start in range(0, len(samples), batch_size):
        batch = slice(start, start + batch_size)
        parts.append(_last(model, samples[batch], guidance=guidance if own is None else own[batch], **options))
    return torch.cat(parts)


def name(model: UnifiedModel, pictures: Tensor, *, batch_size: int = 128) -> list[str]:
    """Return the name that the model gives each uint8 picture `(N, C, height, width)`."""
    return _texts(model, [(Segment("image", picture),) for picture in pictures], "name", batch_size)


def ask(model: UnifiedModel, pictures: Tensor, questions: Sequence[str], *, batch_size: int = 128) -> list[str]:
    """Return the answer to a question about each uint8 picture `(N, C, height, width)`."""
    pairs = zip(pictures, questions, strict=True)
    return _texts(model, [(Segment("image", p), Segment("text", q)) for p, q in pairs], "ask", batch_size)


def reconstruct(model: UnifiedModel, pictures: Tensor, tokenizer: str = "image") -> Tensor:
    """Return pictures after the image tokenizer's encode and decode: the ceiling of anything drawn."""
    with torch.inference_mode():
        part = model.tokenizer(tokenizer)
        return part.decode(part.encode(pictures.to(model.device))).cpu()


def complete(
    model: UnifiedModel,
    samples: Sequence[Sample],
    *,
    guidance: Guidance | None = None,
    num_steps: int | None = None,
    seed: int = 0,
    batch_size: int = 128,
) -> list[Any]:
    """Produce the last segment of each sample: a str, or a uint8 picture.

    Args:
        model: A trained model.
        samples: Whatever their last segment holds is left out.
        guidance: Of pictures, as in `draw`.
        num_steps: Of pictures, as in `draw`.
        seed: With a sample's key, decides every draw.
        batch_size: Samples at once.
    """
    results: list[Any] = [None] * len(samples)
    kinds: dict[str, list[int]] = {}
    for index, sample in enumerate(samples):
        kinds.setdefault(sample.segments[-1].modality, []).append(index)
    for modality, every in kinds.items():
        for start in range(0, len(every), batch_size):
            chosen = every[start : start + batch_size]
            opened = [_open(samples[index]) for index in chosen]
            if modality == "text":
                produced: Sequence[Any] = _written(model, opened, seed=seed)
            else:
                produced = list(_last(model, opened, guidance=guidance, num_steps=num_steps, seed=seed))
            for index, content in zip(chosen, produced, strict=True):
                results[index] = content
    return results


def interleave(
    model: UnifiedModel,
    prompt: Sequence[Segment],
    *,
    max_segments: int = 4,
    guidance: Guidance | None = None,
    num_steps: int | None = None,
    sampler: str | None = None,
    sampler_options: Mapping[str, Any] | None = None,
    temperature: float | None = None,
    seed: int = 0,
) -> list[Segment]:
    """Go on after a prompt, switching between writing and drawing as the model says, until it ends.

    Args:
        model: A trained model.
        prompt: What has been said so far.
        max_segments: Most segments that are added.
        guidance: As in `draw`.
        num_steps: As in `draw`.
        sampler: As in `draw`.
        sampler_options: As in `draw`.
        temperature: Of text; 0 takes the most likely; None = the model's default.
        seed: Decides every draw.

    Returns:
        The segments that were added.
    """
    parts = stream(
        model,
        [prompt],
        max_segments=max_segments,
        guidance=guidance,
        num_steps=num_steps,
        sampler=sampler,
        sampler_options=sampler_options,
        temperature=temperature,
        seed=seed,
    )
    return [Segment(part.modality, part.content) for part in parts if part.done]


@dataclass(frozen=True)
class Part:
    """A segment as far as it has come.

    Args:
        prompt: To which of the prompts it is added, from 0.
        number: Which of the segments added to that prompt, from 0.
        modality: `text` or `image`.
        content: The text so far, or the picture so far as uint8 `(C, height, width)`.
        done: Whether this is the whole segment.
    """

    prompt: int
    number: int
    modality: str
    content: Any
    done: bool


def stream(
    model: UnifiedModel,
    prompts: Sequence[Sequence[Segment]],
    *,
    max_segments: int = 4,
    guidance: Guidances | None = None,
    num_steps: int | None = None,
    sampler: str | None = None,
    sampler_options: Mapping[str, Any] | None = None,
    temperature: float | None = None,
    seed: int = 0,
) -> Iterator[Part]:
    """Yield what is added to each prompt while it comes: texts token by token, pictures step by step.

    All prompts that are to be written go on as one batch, and all that are to be drawn as another, whatever their
    lengths. Arguments are those of `interleave`; a list of guidances gives each prompt its own.
    """
    scales = guidance if isinstance(guidance, Sequence) else [guidance] * len(prompts)
    if guidance is not None:
        contrasts(model, guidance, len(prompts))  # refused before anything is written
    segments = [list(prompt) for prompt in prompts]
    counts = [0] * len(prompts)
    modes = {row: "text" for row in range(len(prompts)) if max_segments > 0}
    while modes:
        mode = "text" if "text" in modes.values() else "image"
        rows = [row for row in modes if modes[row] == mode]
        samples = [
            Sample((*segments[row], Segment(mode, None, target=True)), "interleave", counts[row] + max_segments * row)
            for row in rows
        ]
        steps: Iterator[list[tuple[Any, bool]]]
        if mode == "text":
            steps = writing(model, samples, temperature=temperature, seed=seed, may_draw=True)
        else:
            steps = _pictures(
                model,
                samples,
                guidance=None if guidance is None else [scales[row] for row in rows],
                num_steps=num_steps,
                sampler=sampler,
                sampler_options=sampler_options,
                seed=seed,
            )
        found: list[tuple[Any, bool]] = []
        for step in steps:
            for row, known, (content, _) in zip(rows, found or [(None, False)] * len(rows), step, strict=True):
                if mode == "image" or content not in (known[0], ""):
                    yield Part(row, counts[row], mode, content, False)
            found = step
        for row, (content, drawing) in zip(rows, found, strict=True):
            if mode == "image" or content:
                yield Part(row, counts[row], mode, content, True)
                counts[row] += 1
                segments[row] = _append(model, segments[row], Segment(mode, content))
            modes[row] = "image" if drawing else "text"
            if counts[row] >= max_segments or (mode == "text" and not drawing):
                del modes[row]


def _pictures(model: UnifiedModel, samples: Sequence[Sample], **options: Any) -> Iterator[list[tuple[Tensor, bool]]]:
    for pictures in paint(model, samples, **options):
        yield [(picture, False) for picture in pictures]


def _append(model: UnifiedModel, segments: list[Segment], new: Segment) -> list[Segment]:
    """Return the segments with a new one; a text that goes on after a text becomes one with it."""
    if new.modality != "text" or not segments or segments[-1].modality != "text":
        return [*segments, new]
    (span,) = model.spans(Sample((new,), "interleave"), False)
    tokenizer = model.tokenizer(span.tokenizer)
    codes = torch.cat(list(tokenizer.encode([segments[-1].content, new.content])))
    return [*segments[:-1], Segment("text", tokenizer.decode([codes])[0])]


def _last(model: UnifiedModel, samples: Sequence[Sample], **options: Any) -> Tensor:
    """Return the finished pictures; those on the way are never decoded."""
    *_, tokens = picture_tokens(model, samples, **options)
    return decode(model, model.spans(samples[0], False)[-1], tokens)


def _open(sample: Sample) -> Sample:
    last = sample.segments[-1]
    return replace(sample, segments=(*sample.segments[:-1], replace(last, content=None, target=True)))


def _texts(model: UnifiedModel, contexts: Sequence[tuple[Segment, ...]], task: str, batch_size: int) -> list[str]:
    texts: list[str] = []
    samples = [Sample((*c, Segment("text", None, target=True)), task, key) for key, c in enumerate(contexts)]
    for start in range(0, len(samples), batch_size):
        texts += _written(model, samples[start : start + batch_size])
    return texts


def _written(model: UnifiedModel, samples: Sequence[Sample], *, seed: int = 0) -> list[str]:
    """Return the open text at the end of each sample: word by word, or denoised as a whole where text is vectors."""
    span = model.spans(samples[0], False)[-1]
    if span.words:
        return [text for text, _ in write(model, samples, seed=seed)]
    *_, tokens = picture_tokens(model, samples, guidance=1.0, seed=seed)
    return model.tokenizer(span.tokenizer).decode(tokens)
