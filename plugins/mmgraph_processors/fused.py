"""Two encoders of pictures, fused into one embedding at each position (Show-o2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mmgraph.processors import Processor
from mmgraph.sequence import Segment, Span
from mmgraph_processors.readings import PIXELS, SEMANTICS, check_modalities, drawn, seen, text


class FusedProcessor(Processor):
    """A picture is read through `image` and `semantic` at once: the connector `image` fuses both in each position.

    No longer sequence than with one encoder. A picture that is drawn has no semantic tokens yet, as they would show
    what it is. The model needs the tokenizers `text`, `image` and `semantic`, both of vectors, and a connector
    `image` that joins two tokenizers, such as `mmgraph.connectors.fusion`.

    Reference:
        Xie et al., Show-o2: Improved Native Unified Multimodal Models, 2025 (arXiv 2506.15564; there the semantic
            path reads the noised latents too, through layers distilled for it).
    """

    def expand(self, segments: Sequence[Segment], task: str, training: bool) -> list[Span]:
        """Return one span per segment; pictures that are given are fused.

        Raises:
            UsageError: If a segment is neither text nor picture.
        """
        check_modalities(segments, task, "fused")
        spans = []
        for item, segment in enumerate(segments):
            if segment.modality == "text":
                spans.append(text(item, segment.target))
            else:
                spans.append(drawn(item, (PIXELS,)) if segment.target else self._fused(item))
        return spans

    def templates(self) -> list[Span]:
        """Return texts, pictures through both encoders, and pictures that are drawn."""
        return [text(0, False), text(0, True), self._fused(0), drawn(0, (PIXELS,))]

    def _fused(self, item: int) -> Span:
        return replace(seen(item, PIXELS, (PIXELS,)), beside=SEMANTICS)
