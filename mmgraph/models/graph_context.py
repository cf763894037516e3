"""The graph part of a model: from graph segments to what the transformer reads of them.

What is to be produced, held out or dropped is hidden when a batch is prepared, before anything is encoded or any
message passed; so nothing that follows can tell of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mmgraph.configured import Configured
from mmgraph.errors import UsageError, nearest
from mmgraph.graph_encoders import GraphEncoder
from mmgraph.graph_fusion import FusedGraphEncoder
from mmgraph.graph_injectors import GraphInjector, NodeTokens
from mmgraph.graph_samplers import GraphSampler
from mmgraph.models.graph_control import GraphControl
from mmgraph.models.graph_input import MODALITIES, Contents, GraphInput, prepare
from mmgraph.models.graph_spans import has_graph, insert, write_out
from mmgraph.processors import Processor
from mmgraph.sequence import Sample, Segment, Span

Tokenize = Callable[[Span, list[Any]], Sequence[Tensor]]
Embed = Callable[[Span, Tensor], tuple[Tensor, Tensor]]


class GraphContext(Configured, nn.Module):
    r"""Sampler, encoder, fusion and injector: what a model has so that it can read graphs.

    A node's features are made by the model's own tokenizers, connectors and embeddings, once for each content of the
    batch: with e its n embedded words or patches, \( x = \frac1n \sum_i \mathrm{GELU}(W_m e_i) \) for each modality m.
    Injectors that read contents themselves get them with their positions.

    Args:
        sampler: Who a node is seen with.
        injector: How the neighbourhood enters the transformer.
        encoder: Features and edges to node tokens; None where the injector needs none.
        fusion: How texts and pictures meet in the encoder, as in `FusedGraphEncoder`.
        control: What is changed in the graph, for arms of an experiment; None: nothing.
        relations: Names of the graph's relations, which the parts are built for; None: those of the training data.
        modalities: What is read of nodes, `text` or `image`; None: both. A sampler may choose by either.
        max_degree: Of a node with more edges only so many, drawn by hash, are looked at.

    Raises:
        UsageError: If parts do not fit, or a modality is unknown.
    """

    def __init__(
        self,
        sampler: GraphSampler,
        injector: GraphInjector,
        *,
        encoder: GraphEncoder | None = None,
        fusion: Literal["early", "per_modality", "experts"] = "early",
        control: GraphControl | None = None,
        relations: list[str] | None = None,
        modalities: list[str] | None = None,
        max_degree: int = 512,
    ) -> None:
        super().__init__()
        if injector.encodes and encoder is None:
            raise UsageError(
                f"the graph injector {type(injector).__name__} reads the tokens of a graph encoder; name one, "
                "such as mmgraph.graph_encoders.rgcn, as `encoder` of the graph part."
            )
        for name in modalities or ():
            if name not in MODALITIES:
                raise UsageError(f"a graph part cannot read '{name}' of nodes. {nearest(name, MODALITIES)}")
        self.sampler = sampler
        self.injector = injector
        self.encoder = FusedGraphEncoder(encoder, fusion) if encoder is not None and injector.encodes else None
        self.control = control or GraphControl()
        self.relations = list(relations) if relations is not None else None
        self.modalities = list(modalities) if modalities is not None else None
        self.max_degree = max_degree

    # -- building -------------------------------------------------------------------------------------------

    def fit(self, dataset: Any) -> None:
        """Take the names of the relations from the training data, unless they were given.

        Raises:
            UsageError: If its samples have no graph segments.
        """
        if self.relations is not None:
            return
        node = next(iter(dataset.contents("graph")), None)
        if node is None:
            raise UsageError(
                f"the model has a graph part, but {type(dataset).__name__} gives no graph segments; set "
                "data.init_args.graph: true where the data set has it, or remove model.init_args.graph."
            )
        self.relations = list(node.graph.relations)
        self.remember(relations=self.relations)

    def build(self, processor: Processor, dim: int, condition_dim: int, *, embedding_std: float = 1.0) -> None:
        """Create the parameters, for contents as the processor reads context.

        The injector's embeddings, of hop and relation, start at the deviation of the model's: beside vectors of
        deviation 1 the contents of a node are next to nothing.

        Raises:
            UsageError: If the relations are not known.
        """
        if self.relations is None:
            raise UsageError("the graph part does not know its relations; call `model.fit_tokenizers(dataset)` first.")
        self.processor = processor
        self.spans: dict[str, Span] = {}
        for modality in {span.modality: None for span in processor.templates() if span.modality in ("text", "image")}:
            (span, *_) = processor.expand([Segment(modality, None)], "ask", False)
            self.spans[modality] = span
        self.injector.build(dim, condition_dim, len(self.relations))
        with torch.no_grad():
            for table in self.injector.modules():
                if isinstance(table, nn.Embedding) and embedding_std != 1:
                    table.weight.mul_(embedding_std)
        if self.injector.place == "condition":
            self.null = nn.Parameter(torch.zeros(condition_dim))
        if self.encoder is not None:
            self.features = nn.ModuleDict({modality: nn.Linear(dim, dim) for modality in self.spans})
            self.encoder.build(dict.fromkeys(self.spans, dim), dim, len(self.relations))

    # -- reading --------------------------------------------------------------------------------------------

    def prepare(
        self,
        samples: Sequence[Sample],
        spans: Sequence[list[Span]],
        tokenize: Tokenize,
        *,
        training: bool,
    ) -> tuple[Sequence[Sample], Sequence[list[Span]], GraphInput | None]:
        """Sample, hide, collate and tokenize; return samples and spans with what is written out of neighbours.

        Args:
            samples: A batch.
            spans: Of each sample; a dropped graph is a null span.
            tokenize: Gives the tokens of contents that a span reads.
            training: Whether contents of held-out nodes are hidden.
        """
        given = prepare(
            self.sampler,
            self.control,
            samples,
            spans,
            training=training,
            max_degree=self.max_degree,
            modalities=self.modalities,
        )
        if given is None:
            return samples, spans, None
        if self.injector.encodes:
            given.fill(self.spans, tokenize)
        if self.injector.linearises:
            leading = self.injector.leading > 0
            samples, spans = write_out(self.processor, given, samples, spans, leading=leading)
        given.number(spans, self.injector)
        return samples, spans, given

    def encode(self, given: GraphInput, embed: Embed) -> Tensor:
        """Return the injector's tokens of all nodes of a batch `(N, m, D)`.

        Args:
            given: What `prepare` gave.
            embed: Gives the embeddings `(V, n, D)` of a span's tokens `(V, n, ...)`, and their positions `(n, D)`.
        """
        if given.table is not None:
            return given.table
        table = self.injector(self._nodes(given, embed))
        if not torch.is_grad_enabled():  # generation reads the same graph at every step
            given.table = table
        return table

    def condition(self, table: Tensor | None, given: GraphInput | None, timed: Tensor | None, count: int) -> Tensor:
        """Return what is added to conditioning vectors `(count, condition_dim)`: a learned null where no graph is.

        Args:
            table: What `encode` gave.
            given: What `prepare` gave; None where no sample has a graph.
            timed: The sample of each vector; None: one vector a sample.
            count: Number of vectors.
        """
        if table is None or given is None:
            return self.null.expand(count, -1)
        owners = given.owners if timed is None else given.owners[timed]
        whole = torch.cat((table[:, 0], self.null[None]))  # -1 is the last
        return whole[owners.to(whole.device)]

    def _nodes(self, given: GraphInput, embed: Embed) -> NodeTokens:
        batch, device = given.batch, next(self.parameters()).device
        rows, places = given.rows.to(device), given.places.to(device)
        if self.encoder is None:  # nothing but hop and relation is read
            blank = torch.zeros(*batch.neighbour.shape, 0, device=device)
            unseen = torch.zeros(len(given.nodes), 0, dtype=torch.bool, device=device)
            return NodeTokens(blank[:, :0].sum(1), blank, batch.neighbourhood, unseen[..., None], unseen, places)
        words, seen, features, present = {}, {}, {}, {}
        for modality, span in self.spans.items():
            found, positions, there = self._embedded(given.contents[modality], span, embed, device)
            # without positions: they are the same for all nodes, and would drown what tells nodes apart
            read = nn.functional.gelu(self.features[modality](found)) * there[..., None]
            count = there.sum(1, keepdim=True)  # (U, 1)
            features[modality] = (read.sum(1) / count.clamp_min(1))[rows]
            present[modality] = (count[:, 0] > 0)[rows]
            words[modality], seen[modality] = found + positions, there
        edges = batch.edge_index.to(device), batch.edge_type.to(device)
        tokens = self.encoder(features, present, *edges, batch.graph.to(device))  # (P, D)
        own, around = tokens[batch.seed.to(device)], tokens[batch.neighbour.to(device)]
        contents, visible = torch.cat(list(words.values()), 1), torch.cat(list(seen.values()), 1)
        return NodeTokens(own, around, batch.neighbourhood, contents, visible, places)

    def _embedded(
        self, held: Contents, span: Span, embed: Embed, device: torch.device
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the embeddings `(U, n, D)` of every content, positions `(n, D)`, and what may be read `(U, n)`."""
        at = held.at.to(device)
        if held.tokens is None:
            dim = int(self.features.get_parameter(f"{span.modality}.weight").shape[1])
            blank = torch.zeros(len(at), 1, dim, device=device)
            return blank, blank[0], (at >= 0)[:, None]
        (found, positions), mask = embed(span, held.tokens.to(device)), held.mask.to(device)
        if span.connector is not None:  # which may make another number of a picture's tokens
            mask = mask[:, :1].expand(-1, found.shape[1])
        there = (at >= 0)[:, None]
        return found[at.clamp_min(0)] * there[..., None], positions, mask[:, : found.shape[1]][at.clamp_min(0)] & there


def spans_of(processor: Processor, graph: GraphContext | None, sample: Sample, training: bool) -> list[Span]:
    """Return the processor's spans of a sample, with one span for each graph segment in its place.

    Raises:
        UsageError: If there is a graph segment and no graph part.
    """
    if not has_graph(sample):
        return processor.expand(sample.segments, sample.task, training)
    if graph is None:
        raise UsageError(
            f"a sample of task '{sample.task}' has a graph segment, but the model has no graph part; give it sampler "
            "and injector as model.init_args.graph (mmgraph.models.GraphContext), or set data.init_args.graph: false."
        )
    return insert(processor, sample, training, graph.injector.place)
