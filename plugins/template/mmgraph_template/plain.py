"""The plainest processor: one span per segment, one set of parts per modality."""

from __future__ import annotations

from collections.abc import Sequence

from mmgraph.errors import UsageError
from mmgraph.processors import Processor
from mmgraph.sequence import Segment, Span

CONTINUOUS = ("image",)
"""Modalities whose tokenizer gives vectors, which a connector brings to the model's width."""


class PlainProcessor(Processor):
    """Text and pictures, each read by the parts called `text` and `image`.

    Args:
        modalities: What the model has parts for.
    """

    def __init__(self, modalities: Sequence[str] = ("text", "image")) -> None:
        self.modalities = tuple(modalities)

    def expand(self, segments: Sequence[Segment], task: str, training: bool) -> list[Span]:
        """Return one span per segment.

        Raises:
            UsageError: If the model has no parts for a segment.
        """
        for segment in segments:
            if segment.modality not in self.modalities:
                raise UsageError(
                    f"no parts for '{segment.modality}'; there are some for {', '.join(self.modalities)}."
                )
        return [self._span(item, segment.modality, segment.target) for item, segment in enumerate(segments)]

    def templates(self) -> list[Span]:
        """Return a context span and a target span of each modality."""
        return [self._span(0, modality, target) for modality in self.modalities for target in (False, True)]

    def _span(self, item: int, modality: str, target: bool) -> Span:
        return Span(
            item,
            modality,
            tokenizer=modality,
            head=modality if target else None,
            connector=modality if modality in CONTINUOUS else None,
            role="target" if target else "context",
        )
