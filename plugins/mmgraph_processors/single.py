"""One encoder for each modality, whatever the task (Chameleon, Show-o, Transfusion)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

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
        produced: Those that are only ever produced, by a head that is apart: nothing reads them, so the model needs no
            connector for them (a text-to-image model).
        orders: Modality -> who sees whom inside its spans, `causal` or `full`, where neither the head nor the usual
            (text causal, pictures full) is to decide it.

    Raises:
        UsageError: If an order is neither, or is one of a modality that is not there, or if a modality stands in
            memory and is only produced.

    Reference:
        Zhou et al., Transfusion, 2024 (arXiv 2408.11039).
    """

    def __init__(
        self,
        modalities: Sequence[str] = ("text", "image"),
        continuous: Sequence[str] = ("image",),
        *,
        memory: Sequence[str] = (),
        produced: Sequence[str] = (),
        orders: Mapping[str, Literal["causal", "full"]] | None = None,
    ) -> None:
        self.modalities = tuple(modalities)
        self.continuous = tuple(continuous)
        self.memory = tuple(memory)
        self.produced = tuple(produced)
        both = sorted({*self.memory} & {*self.produced})
        if both:
            raise UsageError(f"single has {', '.join(both)} in `memory` and in `produced`; name it in one of them.")
        self.orders = dict(orders or {})
        for modality, order in self.orders.items():
            if modality not in self.modalities:
                raise UsageError(
                    f"orders of the single processor names '{modality}'; it knows {', '.join(self.modalities)}."
                )
            if order not in ("causal", "full"):
                raise UsageError(f"the order of {modality} spans must be 'causal' or 'full', not '{order}'.")

    def expand(self, segments: Sequence[Segment], task: str, training: bool) -> list[Span]:
        """Return one span per segment.

        Raises:
            UsageError: If a segment's modality has no parts, or is read where it is only produced.
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
            if modality in self.produced and not segment.target:
                raise UsageError(
                    f"a sample of task '{task}' shows a segment of modality '{modality}', which the single processor "
                    "has in `produced`; take it out of there, or give the task weight 0."
                )
            spans.append(self._span(item, modality, segment.target))
        return spans

    def templates(self) -> list[Span]:
        """Return a context span of each modality that is read, and a target span of each that may be produced."""
        return [
            self._span(0, modality, target)
            for modality in self.modalities
            for target in (False, True)
            if modality not in (self.memory if target else self.produced)
        ]

    def _span(self, item: int, modality: str, target: bool) -> Span:
        return Span(
            item,
            modality,
            tokenizer=modality,
            head=modality if target else None,
            connector=modality if modality in self.continuous and modality not in self.produced else None,
            role="target" if target else "context",
            place="memory" if modality in self.memory else "sequence",
            order=self.orders.get(modality),
        )
