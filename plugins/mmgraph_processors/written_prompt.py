"""Before a picture is drawn by a tool, the model writes what it asks of it (Visual ChatGPT)."""

from __future__ import annotations

from collections.abc import Sequence

from mmgraph.processors import Processor
from mmgraph.sequence import Segment, Span


class WrittenPromptProcessor(Processor):
    """What another processor makes, with a written prompt before everything that is drawn.

    Where the sample has the prompt itself (a text to be written just before the picture), that is the prompt. Elsewhere
    the model learns to repeat the last text: what was asked for, in words that the tool may know.

    Args:
        inner: Makes all other spans, for example `mmgraph.processors.single`.

    Reference:
        Wu et al., Visual ChatGPT: Talking, Drawing and Editing with Visual Foundation Models, 2023 (arXiv 2303.04671).
    """

    def __init__(self, inner: Processor) -> None:
        self.inner = inner

    def expand(self, segments: Sequence[Segment], task: str, training: bool) -> list[Span]:
        """Return the inner processor's spans, a text to be written before each target that is not text."""
        spans: list[Span] = []
        for span in self.inner.expand(segments, task, training):
            drawn = span.role == "target" and span.modality != "text"
            asked = bool(spans) and spans[-1].role == "target" and spans[-1].modality == "text"
            texts = [item for item in range(span.item) if segments[item].modality == "text"]
            if drawn and texts and not asked:
                spans.append(Span(texts[-1], "text", "text", head="text", role="target", target=span.item))
            spans.append(span)
        return spans

    def templates(self) -> list[Span]:
        """Return the inner processor's templates, and a text that is written."""
        return [*self.inner.templates(), Span(0, "text", "text", head="text", role="target")]
