"""The decode loop: write until a begin-of-image, draw until the image is done, go on writing.

Prompts of different lengths run as one batch. Text is decoded over a cache; while an image is denoised, the
prefix before it is computed once and the halves of guidance run as one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mmgraph.errors import UsageError
from mmgraph.models.unified import UnifiedModel
from mmgraph.painting import decode, paint, picture_tokens
from mmgraph.prompting import Guidance, evaluating, guidance_scale, head_of, prefix_of
from mmgraph.randomness import SampleRandom
from mmgraph.reading import CachedTextReader, PlainTextReader
from mmgraph.sequence import Sample, Segment
from mmgraph.vocabulary import BOI, EOS

__all__ = [
    "Guidance",
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
    "write",
]


def draw(
    model: UnifiedModel,
    captions: Sequence[str],
    *,
    guidance: Guidance | None = None,
    num_steps: int | None = None,
    seed: int = 0,
    batch_size: int = 128,
) -> Tensor:
    """Draw one picture per caption.

    Args:
        model: A trained model.
        captions: What to draw.
        guidance: Scale of classifier-free guidance; 1 = none; None = the model's default.
        num_steps: Steps of the sampler; None = the model's default.
        seed: With the caption's place in the list, decides the noise.
        batch_size: Captions drawn at once.

    Returns:
        uint8 pictures `(N, C, height, width)`.
    """
    samples = [
        Sample((Segment("text", caption), Segment("image", None, target=True)), "draw", number)
        for number, caption in enumerate(captions)
    ]
    parts = [
        _last(model, samples[start : start + batch_size], guidance=guidance, num_steps=num_steps, seed=seed)
        for start in range(0, len(samples), batch_size)
    ]
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


def complete(model: UnifiedModel, samples: Sequence[Sample], *, seed: int = 0) -> list[Any]:
    """Produce the last segment of each sample: a str, or a uint8 picture."""
    results: list[Any] = [None] * len(samples)
    kinds: dict[str, list[int]] = {}
    for index, sample in enumerate(samples):
        kinds.setdefault(sample.segments[-1].modality, []).append(index)
    for modality, chosen in kinds.items():
        opened = [_open(samples[index]) for index in chosen]
        if modality == "text":
            produced: Sequence[Any] = [text for text, _ in write(model, opened, seed=seed)]
        else:
            produced = list(_last(model, opened, seed=seed))
        for index, content in zip(chosen, produced, strict=True):
            results[index] = content
    return results


def interleave(
    model: UnifiedModel,
    prompt: Sequence[Segment],
    *,
    max_segments: int = 4,
    guidance: Guidance | None = None,
    seed: int = 0,
) -> list[Segment]:
    """Go on after a prompt, switching between writing and drawing as the model says, until it ends.

    Args:
        model: A trained model.
        prompt: What has been said so far.
        max_segments: Most segments that are added.
        guidance: As in `draw`.
        seed: Decides every draw.

    Returns:
        The segments that were added.
    """
    segments = list(prompt)
    added: list[Segment] = []
    drawing = False
    while len(added) < max_segments:
        modality = "image" if drawing else "text"
        sample = Sample((*segments, Segment(modality, None, target=True)), "interleave", key=len(added))
        if drawing:
            found: Any = _last(model, [sample], guidance=guidance, seed=seed)[0]
            drawing = False
        else:
            found, drawing = write(model, [sample], seed=seed, may_draw=True)[0]
        if modality == "image" or found:
            added.append(Segment(modality, found))
            segments = _append(model, segments, added[-1])
        if modality == "text" and not drawing:
            break
    return added


def _append(model: UnifiedModel, segments: list[Segment], new: Segment) -> list[Segment]:
    """Return the segments with a new one; a text that goes on after a text becomes one with it."""
    if new.modality != "text" or not segments or segments[-1].modality != "text":
        return [*segments, new]
    (span,) = model.spans(Sample((new,), "interleave"), False)
    tokenizer = model.tokenizer(span.tokenizer)
    codes = torch.cat(list(tokenizer.encode([segments[-1].content, new.content])))
    return [*segments[:-1], Segment("text", tokenizer.decode([codes])[0])]


# -- writing ------------------------------------------------------------------------------------------------


@torch.inference_mode()
def write(
    model: UnifiedModel,
    samples: Sequence[Sample],
    *,
    max_tokens: int | None = None,
    temperature: float | None = None,
    seed: int = 0,
    may_draw: bool = False,
    use_cache: bool = True,
    watch: Callable[[Tensor, Tensor], None] | None = None,
) -> list[tuple[str, bool]]:
    """Write the open text segment at the end of each sample.

    Args:
        model: A trained model.
        samples: Their last segment is text with content None.
        max_tokens: Most tokens; None = the model's default.
        temperature: 0 takes the most likely; None = the model's default.
        seed: With each sample's key, decides what is drawn.
        may_draw: Whether a text may end with a begin-of-image, and goes on after a text without a separator.
        use_cache: False reads the whole text again for each token (for tests and timing).
        watch: Called as each token comes, with the ids `(N,)` and the model's probabilities `(N, V)` of what may
            stand there, at temperature 1.

    Returns:
        The texts, and whether each ended with a begin-of-image.
    """
    with evaluating(model):
        span, prefix, _ = prefix_of(model, samples, seed, go_on=may_draw)
        head = head_of(model, span)
        ends = (EOS, BOI) if may_draw else (EOS,)
        allowed = model.vocabulary.allowed(span.tokenizer, *ends)
        words = int((prefix.layout.valid & (prefix.layout.modality == 0)).sum(1).max())
        room = min(max_tokens or model.sampling.max_text, model.max_text - words)
        if room < 1:
            raise UsageError(
                f"the prompt has {words} text positions, the model holds {model.max_text}: no room to write."
            )
        reader = CachedTextReader(model, prefix, room) if use_cache else PlainTextReader(model, prefix)

        logits = torch.zeros(0)

        def run(last: Tensor, time: Tensor | None) -> Tensor:
            nonlocal logits
            hidden = reader.prefill() if last.numel() == 0 else reader.read(last)
            logits = head.predict(hidden).masked_fill(~allowed, -torch.inf)  # (N, V)
            return logits

        random = SampleRandom(seed, [sample.key for sample in samples])
        temperature = model.sampling.temperature if temperature is None else temperature
        done = torch.zeros(len(samples), dtype=torch.bool)
        drawn = torch.zeros(len(samples), 0, dtype=torch.long)
        for drawn in head.sample(run, (len(samples),), num_steps=room, random=random, temperature=temperature):
            if watch is not None:
                watch(drawn[:, -1].cpu(), logits.float().softmax(-1).cpu())
            done |= torch.isin(drawn[:, -1].cpu(), torch.tensor(ends))
            if bool(done.all()):
                break
    results = []
    for row in drawn.tolist():
        stop = next((k for k, token in enumerate(row) if token in ends), len(row))
        codes = model.vocabulary.codes(span.tokenizer, torch.tensor(row[:stop], dtype=torch.long))
        text = model.tokenizer(span.tokenizer).decode([codes])[0]
        results.append((text, stop < len(row) and row[stop] == BOI))
    return results


# -- shared -------------------------------------------------------------------------------------------------


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
        texts += [text for text, _ in write(model, samples[start : start + batch_size])]
    return texts
