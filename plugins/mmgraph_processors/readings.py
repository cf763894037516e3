"""The spans that all processors of two encoders are made of: texts, pictures read, pictures drawn."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from mmgraph.errors import UsageError
from mmgraph.sequence import Segment, Span

PIXELS, SEMANTICS = "image", "semantic"
"""The tokenizer that pictures are drawn with, and the one that only sees."""


def check_modalities(segments: Sequence[Segment], task: str, who: str) -> None:
    """Refuse what is neither text nor picture.

    Raises:
        UsageError: Naming the modality.
    """
    for segment in segments:
        if segment.modality not in ("text", "image"):
            raise UsageError(
                f"a sample of task '{task}' has a segment of modality '{segment.modality}', but the {who} processor "
                "knows text and image only; use another, such as single."
            )


def check_readings(readings: Sequence[str], who: str) -> tuple[str, ...]:
    """Return the tokenizers that a picture is read through.

    Raises:
        UsageError: If there is none, or one twice.
    """
    if not readings or len(set(readings)) < len(readings):
        raise UsageError(f"{who} reads pictures through {list(readings)}; name one tokenizer or more, each once.")
    return tuple(readings)


def text(item: int, target: bool) -> Span:
    """Return the span of a text."""
    return Span(item, "text", "text", head="text" if target else None, role="target" if target else "context")


def seen(item: int, tokenizer: str, continuous: Collection[str]) -> Span:
    """Return the span of a picture that is read through a tokenizer."""
    return Span(item, "image", tokenizer, connector=tokenizer if tokenizer in continuous else None)


def drawn(item: int, continuous: Collection[str]) -> Span:
    """Return the span of a picture that is to be produced."""
    connector = PIXELS if PIXELS in continuous else None
    return Span(item, "image", PIXELS, head=PIXELS, connector=connector, role="target")
