"""A drawn picture that is read on: a noised copy to learn from, a clean one for all that follows (BAGEL, Mogao)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mmgraph.processors import Processor
from mmgraph.sequence import Segment, Span
from mmgraph_processors.readings import PIXELS, check_modalities, check_readings, drawn, seen, text


class CleanAndNoisedProcessor(Processor):
    """What is drawn becomes a noised span that only itself may see; where the sample goes on, clean copies follow.

    With one span for both jobs, what follows a drawn picture learns to read a noised one, which it never meets when
    it generates. Here it reads the clean copy, and the noised one leaves no trace: both stand between one pair of
    markers, so the rest of the sample is computed as if the picture had been given. For each tokenizer of
    `continuous` the model needs a connector of the same name.

    Args:
        readings: Tokenizers that given pictures and clean copies are read through, in order; `(image, semantic)` reads
            them as latents and as features, as BAGEL does.
        continuous: Tokenizers that give vectors and so need a connector.

    Raises:
        UsageError: If there is nothing to read through, or one twice.

    Reference:
        Deng et al., Emerging Properties in Unified Multimodal Pretraining (BAGEL), 2025 (arXiv 2505.14683).
        Liao et al., Mogao: An Omni Foundation Model for Interleaved Multi-Modal Generation, 2025 (arXiv 2505.05472).
    """

    def __init__(self, readings: Sequence[str] = (PIXELS,), *, continuous: Sequence[str] = (PIXELS,)) -> None:
        self.readings = check_readings(readings, "clean_and_noised")
        self.continuous = tuple(continuous)

    def expand(self, segments: Sequence[Segment], task: str, training: bool) -> list[Span]:
        """Return a span per text, the noised span of each drawn picture, and clean ones of all that are read.

        Raises:
            UsageError: If a segment is neither text nor picture.
        """
        check_modalities(segments, task, "clean_and_noised")
        spans: list[Span] = []
        for item, segment in enumerate(segments):
            if segment.modality == "text":
                spans.append(text(item, segment.target))
                continue
            if segment.target:
                spans.append(self._noised(item))
            if not segment.target or item + 1 < len(segments):
                spans += [seen(item, reader, self.continuous) for reader in self.readings]
        return spans

    def templates(self) -> list[Span]:
        """Return texts, clean pictures through each tokenizer, and noised ones."""
        read = [seen(0, reader, self.continuous) for reader in self.readings]
        return [text(0, False), text(0, True), *read, self._noised(0)]

    def _noised(self, item: int) -> Span:
        return replace(drawn(item, self.continuous), visible="own")
