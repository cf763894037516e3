"""From an assembled batch to the sequence that the blocks read."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmgraph.connectors import Connector, TextContext
from mmgraph.errors import UsageError
from mmgraph.heads import Head
from mmgraph.models.assembly import Assembly
from mmgraph.models.building import positions_of
from mmgraph.models.graph_context import GraphContext
from mmgraph.models.graph_spans import NAME as GRAPH
from mmgraph.models.grouping import Group
from mmgraph.models.memory import gather
from mmgraph.models.time_embedding import TimeEmbedding
from mmgraph.sequence import Layout, Memory, MultimodalSequence, Span
from mmgraph.vocabulary import Vocabulary


class Embedder:
    """Embeds what was assembled, with parts that the model owns.

    Args:
        vocabulary: Embeds everything discrete.
        positions: Tables by tokenizer; `text` for texts and markers.
        connectors: By the name that spans use.
        heads: By the name that spans use.
        queries: Tables of learned positions, by the name that spans use.
        time_embedding: Of noise levels; None where no head is timed.
        graph: Encodes graph segments; None where none are read.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        positions: nn.ModuleDict,
        *,
        connectors: Mapping[str, Connector],
        heads: Mapping[str, Head],
        queries: Mapping[str, nn.Embedding],
        time_embedding: TimeEmbedding | None,
        graph: GraphContext | None = None,
    ) -> None:
        self.vocabulary = vocabulary
        self.positions = positions
        self.connectors = connectors
        self.heads = heads
        self.queries = queries
        self.time_embedding = time_embedding
        self.graph = graph
        self.max_text, self.dim = positions.get_parameter("text.weight").shape

    def __call__(self, assembly: Assembly, keys: Layout | None = None) -> MultimodalSequence:
        """Return the sequence that the blocks read.

        Args:
            assembly: The batch.
            keys: Layout of what is attended to where that is more than the sequence itself (a cache).

        Raises:
            UsageError: If a sample has more text than the model has positions for.
        """
        device = self.vocabulary.output.weight.device
        layout = assembly.layout.to(device) if device.type != "cpu" else assembly.layout
        self._check_length(layout)
        places = layout.position.clamp_max(self.max_text - 1)
        places = places[:1] if layout.shared else places
        hidden = self.vocabulary.embed(assembly.ids.to(device)) + self.positions["text"](places)  # (B, L, D)
        flat = hidden.view(-1, self.dim)
        texts = self._texts(assembly, device)
        table = self.graph.encode(assembly.graph, self.context) if self.graph and assembly.graph else None
        kept: dict[str, list[tuple[Group, Tensor]]] = {}
        for group in assembly.groups:
            tokens = self._group(group, texts, table)
            if group.place == "memory":
                kept.setdefault(group.tokenizer, []).append((group, tokens))
                continue
            flat = flat.index_copy(0, group.places.flatten().to(device), tokens.reshape(-1, self.dim).to(flat.dtype))
        condition = None
        if len(assembly.times):
            assert self.time_embedding is not None
            condition = self.time_embedding(assembly.times.to(device))
            if self.graph is not None and self.graph.injector.place == "condition":
                condition = condition + self.graph.condition(table, assembly.graph, assembly.timed, len(condition))
        memory: Memory = {name: gather(layout, parts) for name, parts in kept.items()}
        return MultimodalSequence(flat.view_as(hidden), layout, memory=memory, condition=condition, keys=keys)

    def _check_length(self, layout: Layout) -> None:
        if int(layout.position.max()) < self.max_text:
            return
        words = layout.position[layout.modality == 0]
        if bool((words >= self.max_text).any()):
            longest = int(words.max()) + 1
            raise UsageError(
                f"a sample has {longest} text positions, the model holds {self.max_text}; raise model.max_text."
            )

    def _group(self, group: Group, texts: TextContext | None, table: Tensor | None) -> Tensor:
        """Return the embeddings `(N, m, D)` of a group's spans."""
        if group.queries and table is not None and group.tokenizer == GRAPH:
            return table.flatten(0, 1)[group.tokens.to(table.device)]
        if group.queries:
            return self.queries[group.tokenizer](group.tokens.to(self.vocabulary.output.weight.device))

        def usual(tokens: Tensor) -> Tensor:
            if group.connector is None:
                return self.vocabulary.embed(tokens)
            connector = self.connectors[group.connector]
            if group.beside is not None:
                return connector.fuse(tokens, group.beside)
            if group.texts is not None and texts is not None:
                return connector(tokens, texts.rows(group.texts))
            return connector(tokens)

        head = self.heads[group.head] if group.head is not None else None
        if head is not None and head.embeds:
            tokens = head.embed(group.tokens, usual, group.offset)
        else:
            tokens = usual(group.tokens)
        places: Tensor = self.positions.get_parameter(f"{positions_of(group.tokenizer)}.weight")
        order = head.places(len(places)) if head is not None else None
        places = places if order is None else places[order]
        width = tokens.shape[1]
        return tokens + (places if width == len(places) else places[group.offset : group.offset + width])

    def context(self, span: Span, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embeddings `(V, n, D)` of contents of a graph's nodes, and the positions `(n, D)` beside them."""
        name = "text" if span.words else positions_of(span.tokenizer)
        positions: Tensor = self.positions.get_parameter(f"{name}.weight")
        if span.connector is not None:
            found = self.connectors[span.connector](tokens)
        else:
            found = self.vocabulary.embed(self.vocabulary.ids(span.tokenizer, tokens[:, : len(positions)]))
        return found, positions[: found.shape[1]]

    def _texts(self, assembly: Assembly, device: torch.device) -> TextContext | None:
        if assembly.texts is None:
            return None
        ids = assembly.texts.to(device)
        return TextContext(self.vocabulary.embed(ids.clamp_min(0)), ids >= 0)
