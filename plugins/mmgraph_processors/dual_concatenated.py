"""Two encoders of pictures, both read, one after the other (UniToken)."""

from __future__ import annotations

from collections.abc import Sequence

from mmgraph.processors import Processor
from mmgraph.sequence import Segment, Span
from mmgraph_processors.readings import PIXELS, SEMANTICS, check_modalities, check_readings, drawn, seen, text


class DualConcatenatedProcessor(Processor):
    """A picture is read through several tokenizers, whose tokens stand one after the other; it is drawn with `image`.

    The model sees at once what a picture shows and how it looks, whatever the task, at the price of a longer
    sequence. All tokens of a picture stand between one pair of markers. For each tokenizer of `continuous` the model
    needs a connector of the same name.

    Args:
        readings: Tokenizers that a picture is read through, in reading order.
        continuous: Tokenizers that give vectors and so need a connector.

    Raises:
        UsageError: If there is nothing to read through, or one twice.

    Reference:
        Jiao et al., UniToken: Harmonizing Multimodal Understanding and Generation through Unified Visual Encoding,
            2025 (arXiv 2504.04423).
    """

    def __init__(
        self, readings: Sequence[str] = (SEMANTICS, PIXELS), *, continuous: Sequence[str] = (PIXELS, SEMANTICS)
    ) -> None:
        self.readings = check_readings(readings, "dual_concatenated")
        self.continuous = tuple(continuous)

    def expand(self, segments: Sequence[Segment], task: str, training: bool) -> list[Span]:
        """Return a span per text and per drawn picture, and one per reading of each picture that is given.

        Raises:
            UsageError: If a segment is neither text nor picture.
        """
        check_modalities(segments, task, "dual_concatenated")
        spans: list[Span] = []
        for item, segment in enumerate(segments):
            if segment.modality == "text":
                spans.append(text(item, segment.target))
            elif segment.target:
                spans.append(drawn(item, self.continuous))
            else:
                spans += [seen(item, reader, self.continuous) for reader in self.readings]
        return spans

    def templates(self) -> list[Span]:
        """Return texts, pictures through each tokenizer, and pictures that are drawn."""
        read = [seen(0, reader, self.continuous) for reader in self.readings]
        return [text(0, False), text(0, True), *read, drawn(0, self.continuous)]
