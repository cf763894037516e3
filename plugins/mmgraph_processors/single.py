"""One encoder for each modality, whatever the task (Chameleon, Show-o, Transfusion)."""

from __future__ import annotations

from collections.abc import Sequence

from mmgraph.errors import UsageError
from mmgraph.processors import Processor
from mmgraph.sequence import Segment, Span


class SingleProcessor(Processor):
    """Each segment becomes one span; targets get the head of their modality.

    The parts are found by the modality's name: the tokenizer `image` reads pictures, the head `image`
    scores them, the connector `image` brings continuous tokens to the model's width.

    Args:
        modalities: The modalities the model has parts for.
        continuous: Those whose tokenizer gives vectors and so needs a connector.
        memory: Those that stand beside the sequence as context, for blocks with cross-attention (Flamingo).

    Reference:
        Zhou et al., Transfusion, 2024 (arXiv 2408.11039).
    """

    def __init__(
        self,
        modalities: Sequence[str] = ("text", "image"),
        continuous: Sequence[str] = ("image",),
        *,
        memory: Sequence[str] = (),
    ) -> None:
        self.modalities = tuple(modalities)
        self.continuous = tuple(continuous)
        self.memory = tuple(memory)

    def expand(self, segments: Sequence[Segment], task: str, training: bool) -> list[Span]:
        """Return one span per segment.

        Raises:
            UsageError: If a segment's modality has no parts.
        """
        spans = []
        for item, segment in enumerate(segments):
            modality = segment.modality
            if modality not in self.modalities:
                raise UsageError(
                    f"a sample of task '{task}' has a segment of modality '{modality}', but the single "
                    f"processor knows {', '.join(self.modalities)}; add it to `modalities` and give the "
                    "model its parts."
                )
            spans.append(self._span(item, modality, segment.target))
        return spans

    def templates(self) -> list[Span]:
        """Return a context span and a target span of each modality; what stands in memory is never a target."""
        return [
            self._span(0, modality, target)
            for modality in self.modalities
            for target in (False, True)
            if not (target and modality in self.memory)
        ]

    def _span(self, item: int, modality: str, target: bool) -> Span:
        return Span(
            item,
            modality,
            tokenizer=modality,
            head=modality if target else None,
            connector=modality if modality in self.continuous else None,
            role="target" if target else "context",
            place="memory" if modality in self.memory else "sequence",
        )
