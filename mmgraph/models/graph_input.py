"""From a batch's graph segments to one batch of small graphs, everything hidden that must be.

Each rule against leaks that concerns a batch is applied here, before a content is read: see `mmgraph/leaks.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmgraph.errors import UsageError
from mmgraph.graph_batches import GraphBatch, collate
from mmgraph.graph_injectors import GraphInjector
from mmgraph.graph_samplers import GraphSampler
from mmgraph.graphs import GraphNode, MultimodalGraph
from mmgraph.leaks import hide_held_out, hide_targets
from mmgraph.models.graph_attributes import neighbours
from mmgraph.models.graph_control import GraphControl, view
from mmgraph.sequence import Sample, Span

MODALITIES = ("text", "image")


@dataclass
class Contents:
    """The contents of one modality in a batch.

    Args:
        tokens: `(V, n)` codes or `(V, n, d)`, padded at the end; None where the batch has none.
        mask: `(V, n)` bool, False for padding.
        at: `(U,)`, the row of `tokens` of each content of the batch; -1 where there is none to be read.
    """

    tokens: Tensor | None
    mask: Tensor
    at: Tensor


@dataclass
class GraphInput:
    """What a model reads of the graph segments of a batch: N nodes, P places of their small graphs, U contents.

    Args:
        graph: The graph.
        batch: The small graphs.
        segments: Of which sample and segment each node is.
        rows: `(P,)`, the content at each place.
        nodes: `(U,)`, the node whose contents they are.
        readable: By modality `(U,)` bool: what is there and not hidden.
        owners: `(samples,)`, the node of each sample, -1 for none.
        contents: By modality, filled by `fill`.
        numbers: By (sample, number of the span), which rows of the flattened table stand there; filled by `number`.
        table: What the injector gave, kept where no gradient is needed.
    """

    graph: MultimodalGraph
    batch: GraphBatch
    segments: list[tuple[int, int]]
    rows: Tensor
    nodes: Tensor
    readable: dict[str, Tensor]
    owners: Tensor
    contents: dict[str, Contents] = field(default_factory=dict)
    numbers: dict[tuple[int, int], Tensor] = field(default_factory=dict)
    table: Tensor | None = None

    @property
    def places(self) -> Tensor:
        """The content of each node and of its neighbours `(N, 1 + M)`."""
        return self.rows[torch.cat((self.batch.seed[:, None], self.batch.neighbour), 1)]

    def content(self, modality: str, row: int) -> Any:
        """Return a content, None where it may not be read."""
        if not bool(self.readable[modality][row]):
            return None
        node = int(self.nodes[row])
        return self.graph.text(node) if modality == "text" else self.graph.image(node)

    def fill(self, spans: Mapping[str, Span], tokenize: Callable[[Span, list[Any]], Sequence[Tensor]]) -> None:
        """Tokenize every content once."""
        for modality, span in spans.items():
            readable = self.readable[modality]
            at = torch.where(readable, readable.long().cumsum(0) - 1, -1)
            held = [self.content(modality, row) for row in readable.nonzero().flatten().tolist()]
            if not held:
                self.contents[modality] = Contents(None, torch.zeros(0, 1, dtype=torch.bool), at)
                continue
            found = [tokens.cpu() for tokens in tokenize(span, held)]
            lengths = torch.tensor([len(tokens) for tokens in found])
            tokens = pad_sequence(found, batch_first=True)
            if not tokens.shape[1]:  # nothing but empty texts
                tokens = tokens.new_zeros(len(found), 1, *tokens.shape[2:])
            mask = torch.arange(tokens.shape[1]) < lengths[:, None]
            self.contents[modality] = Contents(tokens, mask, at)

    def number(self, spans: Sequence[list[Span]], injector: GraphInjector) -> None:
        """Say which tokens each graph span is: all of its node, or, of neighbours written out, one marker each.

        Tokens that lead are the first span's of their node.
        """
        counts = self.batch.neighbourhood.valid.sum(1).tolist()
        width = injector.num_tokens(self.batch.neighbour.shape[1])
        row_of = {segment: row for row, segment in enumerate(self.segments)}
        first = injector.leading
        used = [0] * len(counts)
        for s, own in enumerate(spans):
            for number, span in enumerate(own):
                if span.modality != "graph" or span.source != "item":
                    continue
                row = row_of[s, span.item]
                if injector.linearises:
                    size = first if first and not used[row] else 1
                    self.numbers[s, number] = row * width + used[row] + torch.arange(size)
                    used[row] += size
                else:
                    self.numbers[s, number] = row * width + torch.arange(injector.num_tokens(counts[row]))


def prepare(
    sampler: GraphSampler,
    control: GraphControl,
    samples: Sequence[Sample],
    spans: Sequence[list[Span]],
    *,
    training: bool,
    max_degree: int,
    modalities: Sequence[str] | None = None,
) -> GraphInput | None:
    """Return the small graphs of a batch, None where no sample has a graph to be read.

    What any sample of the batch asks for (`GraphNode.hidden`) is hidden wherever the batch shows that node, and the
    edges that any asks for (`GraphNode.without`) are taken out before neighbours are drawn. In training, contents of
    held-out nodes are hidden too. Where a sample's own text or picture was dropped, its node does not show it either.
    A sampler that chooses by contents is shown no more than this. With `modalities`, only these are read of the nodes
    that were chosen.

    Raises:
        UsageError: If a batch has nodes of several graphs.
    """
    segments = [
        (s, span.item)
        for s, own in enumerate(spans)
        for span in own
        if span.modality == "graph" and span.source == "item"
    ]
    if not segments:
        return None
    held = [segment.content for sample in samples for segment in sample.segments if segment.modality == "graph"]
    asked: list[GraphNode] = [node for node in held if node is not None]
    seen: list[GraphNode] = [samples[s].segments[item].content for s, item in segments]
    graph = seen[0].graph
    if any(node.graph is not graph for node in asked):
        raise UsageError("the graph segments of a batch are of several graphs; a model reads one at a time.")
    shown = view(graph, control)
    adjacency = shown.adjacency
    pairs = sorted({pair for node in asked for pair in node.without})
    if pairs:
        adjacency = adjacency.without(torch.tensor(pairs).t())
    nodes = torch.tensor([node.node for node in seen])
    seeds = torch.tensor([node.seed for node in seen])
    targets = {name: torch.tensor([n.node for n in asked if name in n.hidden], dtype=torch.long) for name in MODALITIES}
    lost = {name: torch.tensor([_drops(spans[s], name) for s, _ in segments]) for name in MODALITIES}

    def readable_of(modality: str, members: Tensor) -> Tensor:
        found = hide_targets(graph.present[modality][members], members, targets[modality])
        if training and graph.splits:
            found = hide_held_out(found, members, graph.splits, seen=("train",))
        if control.modalities is not None and modality not in control.modalities:
            found = torch.zeros_like(found)
        return found

    left_out = [
        frozenset(name for name in MODALITIES if name in node.hidden or bool(lost[name][row]))
        for row, node in enumerate(seen)
    ]
    found = neighbours(sampler, adjacency, nodes, seeds, graph, left_out, readable_of, classes=shown.classes)
    batch = collate(adjacency, nodes, found, max_degree=max_degree)
    own = torch.zeros(len(batch.place), dtype=torch.bool)
    own[batch.seed] = True
    members = batch.nodes[batch.place]  # (P,)
    if shown.shows is not None:
        members = torch.where(own, members, shown.shows[members])
    silent = torch.zeros_like(own)
    if control.contents == "hidden":
        batch, silent = _silenced(batch), ~own
    # a content that is hidden at one place only is another content there
    key = members * 2 + silent
    dropped = {}
    for modality in MODALITIES:
        dropped[modality] = torch.zeros_like(own)
        dropped[modality][batch.seed] = lost[modality]
        key = key * 2 + dropped[modality]
    _, rows = torch.unique(key, return_inverse=True)
    count = int(rows.max()) + 1
    at = torch.zeros(count, dtype=torch.long).scatter_(0, rows, torch.arange(len(rows)))  # any place of each content
    contents = members[at]
    readable = {}
    for modality in MODALITIES:
        shows = readable_of(modality, contents) & ~silent[at] & ~dropped[modality][at]
        readable[modality] = shows if modalities is None or modality in modalities else torch.zeros_like(shows)
    owners = torch.full((len(samples),), -1)
    for row, (s, _) in enumerate(segments):
        owners[s] = row
    return GraphInput(graph, batch, segments, rows, contents, readable, owners)


def _drops(spans: Sequence[Span], modality: str) -> bool:
    return any(span.source == "null" and span.modality == modality for span in spans)


def _silenced(batch: GraphBatch) -> GraphBatch:
    """Return the batch without messages, and without hop and relation of the neighbours."""
    found = batch.neighbourhood
    blank = dataclasses.replace(found, hop=torch.zeros_like(found.hop), relation=torch.full_like(found.relation, -1))
    return dataclasses.replace(
        batch, edge_index=batch.edge_index[:, :0], edge_type=batch.edge_type[:0], neighbourhood=blank
    )
