"""Writing: the open text at the end of each sample, word by word over a growing cache.

Prompts of different lengths run as one batch: the cache has a length per row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from mmgraph.errors import UsageError
from mmgraph.models.unified import UnifiedModel
from mmgraph.prompting import evaluating, head_of, prefix_of
from mmgraph.randomness import SampleRandom
from mmgraph.reading import CachedTextReader, PlainTextReader
from mmgraph.sequence import Sample
from mmgraph.vocabulary import BOI, EOS

Watch = Callable[[Tensor, Tensor], None]


def write(
    model: UnifiedModel,
    samples: Sequence[Sample],
    *,
    max_tokens: int | None = None,
    temperature: float | None = None,
    seed: int = 0,
    may_draw: bool = False,
    use_cache: bool = True,
    watch: Watch | None = None,
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
    *_, drawn = _tokens(model, samples, max_tokens, temperature, seed, may_draw, use_cache, watch)
    return _texts(model, samples, drawn, may_draw)


def writing(
    model: UnifiedModel,
    samples: Sequence[Sample],
    *,
    max_tokens: int | None = None,
    temperature: float | None = None,
    seed: int = 0,
    may_draw: bool = False,
    use_cache: bool = True,
) -> Iterator[list[tuple[str, bool]]]:
    """Yield, token by token, what `write` returns: the texts so far, and whether each has met a begin-of-image.

    Arguments are those of `write`; whoever has read enough stops asking.
    """
    for drawn in _tokens(model, samples, max_tokens, temperature, seed, may_draw, use_cache, None):
        yield _texts(model, samples, drawn, may_draw)


@torch.inference_mode()  # of a generator: on while it runs, off while it waits
def _tokens(
    model: UnifiedModel,
    samples: Sequence[Sample],
    max_tokens: int | None,
    temperature: float | None,
    seed: int,
    may_draw: bool,
    use_cache: bool,
    watch: Watch | None,
) -> Iterator[Tensor]:
    """Yield the ids drawn so far, `(N, 1)`, `(N, 2)`, ..., until every text has ended."""
    with evaluating(model):
        span, prefix, _ = prefix_of(model, samples, seed, go_on=may_draw)
        head = head_of(model, span)
        if not span.words:
            raise UsageError(
                f"text is vectors to this model (tokenizer '{span.tokenizer}'), denoised as a whole: it writes no word "
                "after another, so nothing can be streamed or interleaved."
            )
        ends = _ends(may_draw)
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
        for drawn in head.sample(run, (len(samples),), num_steps=room, random=random, temperature=temperature):
            if watch is not None:
                watch(drawn[:, -1].cpu(), logits.float().softmax(-1).cpu())
            yield drawn
            done |= torch.isin(drawn[:, -1].cpu(), torch.tensor(ends))
            if bool(done.all()):
                return


def _ends(may_draw: bool) -> tuple[int, ...]:
    return (EOS, BOI) if may_draw else (EOS,)


def _texts(
    model: UnifiedModel, samples: Sequence[Sample], drawn: Tensor, may_draw: bool
) -> list[tuple[str, bool]]:
    tokenizer, ends = model.spans(samples[0], False)[-1].tokenizer, _ends(may_draw)
    results = []
    for row in drawn.tolist():
        stop = next((k for k, token in enumerate(row) if token in ends), len(row))
        codes = model.vocabulary.codes(tokenizer, torch.tensor(row[:stop], dtype=torch.long))
        text = model.tokenizer(tokenizer).decode([codes])[0]
        results.append((text, stop < len(row) and row[stop] == BOI))
    return results
