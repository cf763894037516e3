"""The contract of processors, and the lazy names of every installed one.

A processor decides what the model reads of each segment: one span, or several (clean and noised copies,
semantic and pixel tokens), or content-free queries.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from mmgraph import registry
from mmgraph.configured import Configured
from mmgraph.sequence import Segment, Span


class Processor(Configured, ABC):
    """Segments to spans."""

    @abstractmethod
    def expand(self, segments: Sequence[Segment], task: str, training: bool) -> list[Span]:
        """Return the spans of a sample, in reading order.

        Args:
            segments: The sample's segments.
            task: What is asked, so that a processor may choose by task (Janus).
            training: Whether targets are present.
        """

    @abstractmethod
    def templates(self) -> list[Span]:
        """Return one example of every kind of span that `expand` may give.

        The model builds its connectors and heads for the tokenizers that stand beside them here, and refuses
        parts that disagree.
        """


__getattr__, __dir__ = registry.lazy("processors")
