"""Creating what depends on the sizes of fitted tokenizers: position tables, connectors, heads, learned queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from mmgraph.connectors import Connector
from mmgraph.errors import UsageError
from mmgraph.heads import Head
from mmgraph.models.joined import check_regressed
from mmgraph.models.legality import check_width
from mmgraph.sequence import Span
from mmgraph.tokenizers import Tokenizer
from mmgraph.vocabulary import Vocabulary


def positions_of(tokenizer: str) -> str:
    """Return the name of the table of positions of a tokenizer's spans, words aside, whose table is `text`."""
    return "text_vectors" if tokenizer == "text" else tokenizer


class Builder:
    """Builds the parts that a processor's templates name, each once.

    Args:
        tokenizers: By the name that spans use, all fitted.
        connectors: By the name that spans use.
        heads: By the name that spans use.
        vocabulary: Of the discrete tokenizers.
        dim: Model width D.
        condition_dim: Width of the conditioning vectors.
        max_text: Most text positions of a sample.
        embedding_std: Standard deviation at which embeddings, positions and learned queries start.

    Attributes:
        positions: A table for each tokenizer, `text` for texts and markers.
        queries: A table for each name that spans of learned queries have.
        head_tokenizer: Which tokenizer each head models.
    """

    def __init__(
        self,
        tokenizers: Mapping[str, Tokenizer],
        connectors: Mapping[str, Connector],
        heads: Mapping[str, Head],
        *,
        vocabulary: Vocabulary,
        dim: int,
        condition_dim: int,
        max_text: int,
        embedding_std: float = 1.0,
    ) -> None:
        self.tokenizers = tokenizers
        self.connectors = connectors
        self.heads = heads
        self.vocabulary = vocabulary
        self.dim = dim
        self.condition_dim = condition_dim
        self.embedding_std = embedding_std
        self.positions = nn.ModuleDict({"text": nn.Embedding(max_text, dim)})
        self.queries = nn.ModuleDict()
        self.head_tokenizer: dict[str, str] = {}
        self._connected: set[str] = set()
        self._fused: set[str] = set()

    def build(self, templates: Sequence[Span]) -> None:
        """Build the parts of every template, in order."""
        for span in templates:
            if span.source == "tool":
                continue
            if span.source == "queries":
                if span.tokenizer not in self.queries:
                    self.queries[span.tokenizer] = nn.Embedding(span.num_queries, self.dim)
                continue
            head = span.head if span.head is not None and span.head in self.heads else None
            apart = span.role == "target" and head is not None and self.heads[head].apart
            if not span.words and not apart:  # the body never reads what such a head draws
                self._read(span)
            if span.head is not None and span.head in self.heads and span.head not in self.head_tokenizer:
                self._score(span, span.head)
        if self.embedding_std != 1:
            with torch.no_grad():
                for table in (self.vocabulary.embedding, *self.positions.values(), *self.queries.values()):
                    table.weight.mul_(self.embedding_std)  # type: ignore[operator]

    def _read(self, span: Span) -> None:
        tokenizer = self.tokenizers[span.tokenizer]
        width = tokenizer.num_tokens
        if span.connector is not None:
            connector = self.connectors[span.connector]
            if span.connector not in self._connected:
                self._connected.add(span.connector)
                connector.build(tokenizer, self.dim)
            if span.beside is not None and span.connector not in self._fused:
                self._fused.add(span.connector)
                connector.build_beside(tokenizer, self.tokenizers[span.beside])
            width = connector.num_tokens(width)
        table = positions_of(span.tokenizer)
        if table not in self.positions:
            self.positions[table] = nn.Embedding(width, self.dim)
        known = len(self.positions.get_parameter(f"{table}.weight"))
        if width != known:
            raise UsageError(
                f"the connector '{span.connector}' makes {width} positions of tokenizer '{span.tokenizer}', another "
                f"makes {known}, but they share one table of positions; let both make equally many."
            )

    def _score(self, span: Span, name: str) -> None:
        tokenizer, head = self.tokenizers[span.tokenizer], self.heads[name]
        if head.apart and span.beside is not None:
            check_regressed(span, self.tokenizers[span.beside].num_tokens, self.queries)  # type: ignore[arg-type]
            head.build_beside(self.tokenizers[span.beside])
        if span.connector is not None and not head.apart:
            check_width(span, tokenizer.num_tokens, self.connectors[span.connector].num_tokens(tokenizer.num_tokens))
        head.tokenizer_name = span.tokenizer
        head.build(tokenizer, self.vocabulary, self.dim, self.condition_dim)
        self.head_tokenizer[name] = span.tokenizer
