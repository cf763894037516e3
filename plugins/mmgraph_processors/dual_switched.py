"""Two encoders of pictures, one for understanding and one for generation (Janus)."""

from __future__ import annotations

from collections.abc import Sequence

from mmgraph.processors import Processor
from mmgraph.sequence import Segment, Span
from mmgraph_processors.readings import PIXELS, SEMANTICS, check_modalities, drawn, seen, text


class DualSwitchedProcessor(Processor):
    """A picture is read through `semantic`, or through `image` in tasks that draw; it is drawn with `image`.

    What helps to understand a picture (what it shows) is not what helps to draw it (where each colour is), so each
    job has an encoder of its own; the task says which one reads. The model needs the tokenizers `text`, `semantic`
    and `image`, and for each one of `continuous` a connector of the same name.

    Args:
        drawing_tasks: Tasks whose pictures are read through `image`; all others read through `semantic`.
        continuous: Tokenizers that give vectors and so need a connector.

    Reference:
        Wu et al., Janus: Decoupling Visual Encoding for Unified Multimodal Understanding and Generation, 2024
            (arXiv 2410.13848).
    """

    def __init__(
        self, drawing_tasks: Sequence[str] = ("draw",), *, continuous: Sequence[str] = (PIXELS, SEMANTICS)
    ) -> None:
        self.drawing_tasks = tuple(drawing_tasks)
        self.continuous = tuple(continuous)

    def expand(self, segments: Sequence[Segment], task: str, training: bool) -> list[Span]:
        """Return one span per segment; the task says through which encoder a picture is read.

        Raises:
            UsageError: If a segment is neither text nor picture.
        """
        check_modalities(segments, task, "dual_switched")
        reader = PIXELS if task in self.drawing_tasks else SEMANTICS
        spans = []
        for item, segment in enumerate(segments):
            if segment.modality == "text":
                spans.append(text(item, segment.target))
            elif segment.target:
                spans.append(drawn(item, self.continuous))
            else:
                spans.append(seen(item, reader, self.continuous))
        return spans

    def templates(self) -> list[Span]:
        """Return texts, pictures through each encoder, and pictures that are drawn."""
        readers = (SEMANTICS, PIXELS) if self.drawing_tasks else (SEMANTICS,)
        read = [seen(0, reader, self.continuous) for reader in readers]
        return [text(0, False), text(0, True), *read, drawn(0, self.continuous)]
