"""Learned queries before each picture that is drawn: a fixed number of positions to gather what to draw (MetaQuery)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from mmgraph.errors import UsageError
from mmgraph.processors import Processor
from mmgraph.sequence import Segment, Span


class QueriesProcessor(Processor):
    """What another processor makes, with learned queries before everything that is drawn.

    The queries have no content and no tokenizer: their embeddings are learned. They read the prompt, whatever its
    length, into a fixed number of positions, and the picture reads them beside it; a head that is apart may read
    nothing else (`denoising` with `reads: queries`).

    Args:
        inner: Makes all other spans, for example `mmgraph.processors.single`.
        num_queries: How many.
        order: Whether each query sees those before it only, or all see each other.
        regressed: A second tokenizer of what is drawn, whose tokens the queries are to become (SEED-X); for the head
            `denoising`.

    Raises:
        UsageError: If there is no query.

    Reference:
        Pan et al., Transfer between Modalities with MetaQueries, 2025 (arXiv 2504.06256).
        Ge et al., SEED-X, 2024 (arXiv 2404.14396; regressed queries).
    """

    def __init__(
        self,
        inner: Processor,
        num_queries: int = 16,
        *,
        order: Literal["causal", "full"] = "causal",
        regressed: str | None = None,
    ) -> None:
        if num_queries < 1:
            raise UsageError(f"num_queries must be 1 or more, not {num_queries}.")
        self.inner = inner
        self.num_queries = num_queries
        self.order = order
        self.regressed = regressed

    def expand(self, segments: Sequence[Segment], task: str, training: bool) -> list[Span]:
        """Return the inner processor's spans, queries before each target that is not text."""
        spans: list[Span] = []
        for span in self.inner.expand(segments, task, training):
            if span.role == "target" and span.modality != "text":
                spans.append(self._queries(span))
            spans.append(self._aimed(span))
        return spans

    def templates(self) -> list[Span]:
        """Return the inner processor's templates, and queries of each modality that is drawn."""
        templates = self.inner.templates()
        drawn = {s.modality: s for s in templates if s.role == "target" and s.modality != "text"}
        return [*map(self._queries, drawn.values()), *map(self._aimed, templates)]

    def _aimed(self, span: Span) -> Span:
        """Return a span with the second tokenizer of what is drawn."""
        drawn = span.role == "target" and span.modality != "text"
        return replace(span, beside=self.regressed) if drawn and self.regressed else span

    def _queries(self, span: Span) -> Span:
        return Span(
            span.item,
            span.modality,
            f"{span.modality}_queries",
            source="queries",
            order=self.order,
            num_queries=self.num_queries,
        )
