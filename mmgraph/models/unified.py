"""One transformer that understands and generates, assembled from plugins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from mmgraph.blocks import Block
from mmgraph.cache import Cache
from mmgraph.configured import Configured
from mmgraph.connectors import Connector
from mmgraph.errors import UsageError, nearest
from mmgraph.heads import Head
from mmgraph.models.assembly import Assembler, Assembly
from mmgraph.models.building import Builder
from mmgraph.models.conditions import drop_conditions
from mmgraph.models.embedding import Embedder
from mmgraph.models.graph_context import GraphContext, spans_of
from mmgraph.models.grouping import Scored
from mmgraph.models.joined import check_layers
from mmgraph.models.legality import check_graph, check_names, check_parts, check_shares
from mmgraph.models.optimization import Optimization
from mmgraph.models.sampling import Sampling
from mmgraph.models.stages import Stage, Stages, schedule
from mmgraph.models.time_embedding import TimeEmbedding
from mmgraph.models.tool import Tool
from mmgraph.models.warm_start import StartFrom, start, start_tokenizers
from mmgraph.models.weighing import Found, log_statistics, weigh
from mmgraph.processors import Processor
from mmgraph.randomness import SampleRandom
from mmgraph.sequence import Layout, MultimodalSequence, Sample, Span
from mmgraph.tokenizers import Tokenizer
from mmgraph.vocabulary import Vocabulary


class UnifiedModel(Configured, lightning.LightningModule):
    r"""One body over text, pictures and more; one head per objective.

    The processor turns a sample's segments into spans; tokenizers and connectors turn spans into positions;
    `depth` blocks run over all positions; each head scores its own.

    \[ L = \sum_h \lambda_h \frac{\sum_{s} \ell_h(s)}{\sum_s n_h(s)} \]

    Args:
        processor: Segments to spans.
        tokenizers: By name; a discrete one is embedded by the vocabulary.
        connectors: By name, one per continuous tokenizer that is read.
        block: Prototype of a layer; `depth` fresh copies are made.
        heads: By name.
        graph: Sampler, encoder and injector of graph segments; None where there are none.
        tools: By the name of the head that they stand in for: other models that draw what this one asks for in words.
        dim: Model width D.
        depth: Number of layers.
        condition_dim: Width of the time embedding; None: the model's width.
        max_text: Most text positions of a sample.
        embedding_std: Standard deviation at which embeddings and positions start. What attention brings to a position
            is small at first: beside small embeddings it is heard sooner.
        loss_weights: Weight of each head's loss; 1 where not named.
        condition_dropout: Modality -> probability that its context is dropped in training, for guidance; `text+graph`
            drops both.
        row_length: Pack several samples into rows of this many positions; None: one sample a row.
        start_from: Weights of other runs that parts start from, in order.
        stages: Which parts learn when; none: all of them, always.
        optimization: Optimiser and schedule.
        sampling: Defaults of generation.

    Raises:
        UsageError: If parts are missing or disagree; the message names the two and what would fit.

    Reference:
        Zhou et al., Transfusion, 2024 (arXiv 2408.11039).
    """

    def __init__(
        self,
        processor: Processor,
        tokenizers: dict[str, Tokenizer],
        *,
        block: Block,
        heads: dict[str, Head],
        connectors: dict[str, Connector] | None = None,
        graph: GraphContext | None = None,
        tools: dict[str, Tool] | None = None,
        dim: int = 256,
        depth: int = 4,
        condition_dim: int | None = None,
        max_text: int = 64,
        embedding_std: float = 1.0,
        loss_weights: dict[str, float] | None = None,
        condition_dropout: dict[str, float] | None = None,
        row_length: int | None = None,
        start_from: list[StartFrom] | None = None,
        stages: list[Stage] | None = None,
        optimization: Optimization = Optimization(),  # noqa: B008 - frozen
        sampling: Sampling = Sampling(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__()
        self.processor = processor
        self.tokenizers = nn.ModuleDict(tokenizers)
        self.connectors = nn.ModuleDict(connectors or {})
        self.heads = nn.ModuleDict(heads)
        self.graph = graph
        self.dim = dim
        self.depth = depth
        self.max_text = max_text
        if embedding_std <= 0:
            raise UsageError(f"embedding_std must be above 0, not {embedding_std}.")
        self.embedding_std = embedding_std
        self.loss_weights = dict(loss_weights or {})
        self.condition_dropout = dict(condition_dropout or {})
        self.row_length = row_length
        self.start_from = list(start_from or [])
        self.stages = list(stages or [])
        self.optimization = optimization
        self.sampling = sampling
        self._prototype = (block,)  # in a tuple: its own copies are the model's, not the prototype
        timed = any(head.timed and not head.apart for head in heads.values())
        self.condition_dim = (condition_dim or dim) if timed else 0
        self.tools = nn.ModuleDict(tools or {})
        for name in self.tools:
            if name in heads:
                raise UsageError(f"'{name}' is drawn by a head and by a tool; leave one of them out.")
        check_parts(
            type(processor).__name__, self._aimed(processor.templates()), tokenizers, connectors or {}, heads, block
        )
        check_layers(heads, depth)
        check_graph(graph.injector if graph is not None else None, block, heads)
        check_names("loss_weights", self.loss_weights, heads, "head")
        read = {span.modality for span in processor.templates()} | ({"graph"} if graph is not None else set())
        dropped = [modality for names in self.condition_dropout for modality in names.split("+")]
        check_names("condition_dropout", dropped, read, "modality")
        check_shares("condition_dropout", self.condition_dropout)
        self._stages: Stages | None = None
        self.built = False

    # -- building -------------------------------------------------------------------------------------------

    def configure_model(self) -> None:
        """Fit the tokenizers on the training data and create what depends on their sizes; once."""
        if self.built:
            return
        data = getattr(self._trainer, "datamodule", None) if self._trainer is not None else None
        start_tokenizers(self.tokenizers, self.start_from)
        unfitted = [name for name in self.tokenizers if not self.tokenizer(name).fitted]
        if unfitted and data is None:
            raise UsageError(f"tokenizer '{unfitted[0]}' is not fitted; call `model.fit_tokenizers(dataset)` first.")
        self.fit_tokenizers(data)

    def fit_tokenizers(self, dataset: Any) -> None:
        """Fit every tokenizer that is not fitted on a data set's training contents, then build the model."""
        if self.built:
            return
        start_tokenizers(self.tokenizers, self.start_from)
        for name in self.tokenizers:
            tokenizer = self.tokenizer(name)
            if not tokenizer.fitted:
                tokenizer.fit(dataset.contents(tokenizer.modality))
        if self.graph is not None:
            self.graph.fit(dataset)
        self.build()
        start(self, self.start_from)

    def build(self) -> None:
        """Create vocabulary, positions, connectors, heads and blocks from the fitted tokenizers."""
        if self.built:
            return
        tokenizers, connectors, heads = self._parts()
        sizes = {name: tokenizer.codebook_size for name, tokenizer in tokenizers.items() if tokenizer.discrete}
        self.vocabulary = Vocabulary(sizes, self.dim)
        builder = Builder(
            tokenizers,
            connectors,
            heads,
            vocabulary=self.vocabulary,
            dim=self.dim,
            condition_dim=self.condition_dim,
            max_text=self.max_text,
            embedding_std=self.embedding_std,
        )
        builder.build(self._aimed(self.processor.templates()))
        self.positions = builder.positions
        self.queries = builder.queries
        if self.graph is not None:
            self.graph.build(self.processor, self.dim, self.condition_dim, embedding_std=self.embedding_std)
        if self.condition_dim:
            self.time_embedding = TimeEmbedding(self.condition_dim)
        self.blocks = nn.ModuleList()
        for _ in range(self.depth):
            block = self._prototype[0].spawn()
            block.build(self.dim, self.condition_dim)
            self.blocks.append(block)
        self.final_norm = nn.RMSNorm(self.dim, elementwise_affine=False)  # the heads' matrices can hold a gain
        self._embedder = Embedder(
            self.vocabulary,
            self.positions,
            connectors=connectors,
            heads=heads,
            queries=self.queries,  # type: ignore[arg-type]
            time_embedding=self.time_embedding if self.condition_dim else None,
            graph=self.graph,
        )
        owners = builder.head_tokenizer.items()
        words = [name for name, tokenizer in tokenizers.items() if tokenizer.modality == "text" and tokenizer.discrete]
        self.assembler = Assembler(
            tokenizers,
            heads,
            head_tokenizer=builder.head_tokenizer,
            widths={name: connector.num_tokens for name, connector in connectors.items()},
            vocabulary=self.vocabulary,
            text_aware=[name for name, connector in connectors.items() if connector.text_aware],
            text_head=next((head for head, name in owners if name in words), None),
            row_length=self.row_length,
            graph=self.graph,
        )
        self.built = True

    def _parts(self) -> tuple[Mapping[str, Tokenizer], Mapping[str, Connector], Mapping[str, Head]]:
        return self.tokenizers, self.connectors, self.heads  # type: ignore[return-value]

    def tokenizer(self, name: str) -> Tokenizer:
        """Return the tokenizer that spans call `name`."""
        return self.tokenizers[name]  # type: ignore[return-value]

    def connector(self, name: str) -> Connector:
        """Return the connector that spans call `name`."""
        return self.connectors[name]  # type: ignore[return-value]

    def head(self, name: str) -> Head:
        """Return the head that spans call `name`."""
        return self.heads[name]  # type: ignore[return-value]

    # -- running --------------------------------------------------------------------------------------------

    def spans(self, sample: Sample, training: bool) -> list[Span]:
        """Return the spans of a sample; targets without a head in this model become context."""
        spans = self._aimed(spans_of(self.processor, self.graph, sample, training))
        for span in spans:
            if span.head is not None and span.head not in self.heads and span.source != "tool":
                raise UsageError(
                    f"task '{sample.task}' needs the head '{span.head}', which the model does not have. "
                    f"{nearest(span.head, self.heads)} Add it, or give the task weight 0."
                )
        return spans

    def _aimed(self, spans: Sequence[Span]) -> list[Span]:
        """Return the spans, each of those that a tool draws marked as such."""
        drawn = [span.role == "target" and (span.head or "") in self.tools for span in spans]
        return [replace(span, source="tool") if tool else span for span, tool in zip(spans, drawn, strict=True)]

    def assemble(
        self,
        samples: Sequence[Sample],
        *,
        seed: int = 0,
        training: bool = False,
        fixed_time: float | None = None,
    ) -> Assembly:
        """Lay out a batch with all its targets; every draw is a function of (seed, sample key)."""
        random = SampleRandom(seed, [sample.key for sample in samples])
        spans = [self.spans(sample, training) for sample in samples]
        if training and self.condition_dropout:
            draws = random.uniform().tolist()
            spans = [drop_conditions(own, self.condition_dropout, draw) for own, draw in zip(spans, draws, strict=True)]
        return self.assembler.assemble(samples, spans, random, fixed_time=fixed_time, training=training)

    def embed(self, assembly: Assembly, keys: Layout | None = None) -> MultimodalSequence:
        """Return the sequence that the blocks read; `keys` is the layout of a cache, if there is one."""
        return self._embedder(assembly, keys)

    def run(self, sequence: MultimodalSequence, cache: Cache | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the last hidden states `(B, L, D)` and the sum of the blocks' auxiliary losses by name."""
        hidden = sequence.embeddings
        early = {self.head(name).layer for name in self.heads}
        auxiliary: dict[str, Tensor] = {}
        for index, block in enumerate(self.blocks):
            hidden, losses = block(hidden, sequence, cache.layers[index] if cache is not None else None)
            for name, value in losses.items():
                auxiliary[name] = auxiliary.get(name, 0) + value
            if index + 1 in early:
                sequence.kept[index + 1] = self.final_norm(hidden)
        return self.final_norm(hidden), auxiliary

    def read_by(self, head: Head, hidden: Tensor, sequence: MultimodalSequence) -> Tensor:
        """Return the hidden states `(B * L, D)` that a head reads, of what `run` gave and kept."""
        return (hidden if head.layer is None else sequence.kept[head.layer]).reshape(-1, self.dim)

    def scored(self, assembly: Assembly) -> tuple[list[tuple[Scored, Tensor, Tensor | None]], dict[str, Tensor]]:
        """Return what heads score, each with the states `(N, n, D)` and conditions it reads; the auxiliary losses."""
        sequence = self.embed(assembly)
        hidden, auxiliary = self.run(sequence)
        found = []
        for scored in assembly.scored:
            flat = self.read_by(self.head(scored.head), hidden, sequence)
            condition = None
            if scored.timed is not None and sequence.condition is not None:
                condition = sequence.condition[scored.timed.to(flat.device)]
            found.append((scored, scored.states(flat), condition))
        return found, auxiliary

    def losses(self, assembly: Assembly) -> tuple[Found, dict[str, Tensor]]:
        """Return each head's summed loss and count, and the auxiliary losses."""
        read, auxiliary = self.scored(assembly)
        found: Found = {}
        for scored, states, condition in read:
            total, count = self.head(scored.head).loss(states, _to(scored.prepared, states.device), condition)
            before = found.get(scored.head)
            found[scored.head] = (total, count) if before is None else (before[0] + total, before[1] + count)
        return found, auxiliary

    # -- training -------------------------------------------------------------------------------------------

    def training_step(self, batch: list[Sample], batch_idx: int) -> Tensor:
        """Return the weighted loss; counts are summed over all processes, so their number does not matter."""
        data = getattr(self.trainer, "datamodule", None)
        assembly = self.assemble(batch, seed=getattr(data, "seed", 0), training=True)
        self._count(assembly)
        loss = self._weigh(assembly, "train")
        log_statistics(self, self.blocks)
        return loss

    def validation_step(self, batch: list[Sample], batch_idx: int) -> Tensor:
        """Return the weighted loss of held-out samples."""
        return self._weigh(self.assemble(batch, seed=1), "val")

    def test_step(self, batch: list[Sample], batch_idx: int) -> Tensor:
        """Return the weighted loss of test samples."""
        return self._weigh(self.assemble(batch, seed=2), "test")

    def predict_step(self, batch: list[Sample], batch_idx: int) -> list[Any]:
        """Return what the model generates for each sample: text or a uint8 picture."""
        from mmgraph.generation import complete

        return complete(self, batch)

    def _weigh(self, assembly: Assembly, stage: str) -> Tensor:
        found, auxiliary = self.losses(assembly)
        return weigh(self, found, auxiliary, weights=self.loss_weights, stage=stage)

    def _count(self, assembly: Assembly) -> None:
        self.tokens_seen = getattr(self, "tokens_seen", 0) + int(assembly.layout.valid.sum())

    def on_fit_start(self) -> None:
        """Give each stage its tasks."""
        data = getattr(self.trainer, "datamodule", None)
        if any(stage.tasks is not None for stage in self.stages) and data is not None:
            data.schedule_tasks(schedule(self.stages, data.tasks))

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Freeze and unfreeze when a stage begins."""
        if self._stages is not None:
            self._stages.apply(self._stages.learning[self._stages.at(self.trainer.global_step)])

    def configure_optimizers(self) -> Any:
        """Return AdamW and its schedule over the trainer's planned steps."""
        if self.stages:
            self._stages = Stages(self.stages, self)
            self._stages.apply(self._stages.ever)
        return self.optimization.configure(self, self.trainer.estimated_stepping_batches)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the tokenizers' fitted state first: the sizes of everything else follow from it."""
        self.load_tokenizers(checkpoint["state_dict"])

    def load_tokenizers(self, state: Mapping[str, Tensor]) -> None:
        """Load the tokenizers' part of a state and build the model for it."""
        prefix = "tokenizers."
        own = {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
        self.tokenizers.load_state_dict(own)
        self.build()


def _to(prepared: Any, device: torch.device) -> Any:
    if device.type == "cpu":
        return prepared
    for name, value in vars(prepared).items():
        if isinstance(value, Tensor):
            setattr(prepared, name, value.to(device))
    return prepared
