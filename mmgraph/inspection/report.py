"""The text of an inspection: the batch, one sample of each task, routing, parameters and costs."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text
from torch import Tensor

from mmgraph import sequence
from mmgraph.datasets import Dataset
from mmgraph.inspection.costs import Costs
from mmgraph.inspection.details import follow
from mmgraph.inspection.tables import WIDTH, lines, number, table
from mmgraph.inspection.views import SampleView, ranges
from mmgraph.models.assembly import Assembly
from mmgraph.models.unified import UnifiedModel
from mmgraph.sequence import MODALITIES, Sample
from mmgraph.tokenizers import Tokenizer

Kind = tuple[str, str]
"""Modality and role of a position."""


def render(
    model: UnifiedModel, dataset: Dataset, batch: Sequence[Sample], views: Sequence[SampleView], costs: Costs
) -> str:
    """Return the whole description."""
    assembly = model.assemble(batch, training=True)
    written = io.StringIO()
    console = Console(file=written, width=WIDTH, color_system=None, highlight=False, emoji=False, markup=False)

    def section(title: str, parts: Sequence[RenderableType]) -> None:
        console.rule(title, align="left", characters="=")
        for part in parts:
            console.print(part)

    for part in _summary(model, dataset, batch, assembly):
        console.print(part)
    for index, view in enumerate(views, start=1):
        section(f"sample {index} of {len(views)}: task '{view.sample.task}'", follow(view))
    parameters: list[RenderableType] = [_parameters(costs), Text("Costs\n"), _costs(costs, len(batch))]
    section("the whole batch", [*_routing(model, assembly), *parameters])
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines()).strip()


def letters() -> str:
    """Return the legend of shape letters, from the one place that holds it."""
    legend = (sequence.__doc__ or "").partition("Shape letters")[2].partition(":")[2]
    return " ".join(legend.split())


def _summary(
    model: UnifiedModel, dataset: Dataset, batch: Sequence[Sample], assembly: Assembly
) -> list[RenderableType]:
    tasks = Counter(sample.task for sample in batch)
    rows, length = assembly.layout.shape
    read = int(assembly.layout.valid.sum())
    alike = "all alike" if assembly.layout.shared else "of different layouts"
    padding = 1 - read / (rows * length)
    facts = [
        ("samples", f"{len(batch)} ({', '.join(f'{task} {count}' for task, count in sorted(tasks.items()))})"),
        ("layout", f"(B, L) = ({rows}, {length}), rows {alike}; {read:,} positions are read, {padding:.0%} is padding"),
        ("sequence", f"(B, L, D) = ({rows}, {length}, {model.dim}), through {model.depth} blocks"),
        ("letters", letters()),
    ]
    if model.condition_dropout:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in model.condition_dropout.items())
        facts.append(("dropped", f"in training, of the samples that draw: {shares} (below, nothing is dropped)"))
    names = f"{type(model).__name__} on {type(dataset).__name__}"
    return [Text(f"{names}: one training batch as the model sees it\n"), lines(*facts), Text(), _shapes(model)]


def _shapes(model: UnifiedModel) -> Table:
    found = table("Shapes: what becomes of one item", "part", "class", "reads", "gives")
    templates = model.processor.templates()
    tokenizers: Any = model.tokenizers
    connectors: Any = model.connectors
    for name, tokenizer in tokenizers.items():
        reads = "str" if tokenizer.modality == "text" else "(C, height, width) uint8"
        gives = _tokens(tokenizer)
        found.add_row(f"tokenizer {name}", type(tokenizer).__name__, reads, gives)
        for connector in dict.fromkeys(span.connector for span in templates if span.tokenizer == name):
            n = "n" if tokenizer.modality == "text" else str(tokenizer.num_tokens)
            part = "vocabulary" if connector is None else f"connector {connector}"
            kind = type(model.vocabulary if connector is None else connectors[connector]).__name__
            if connector is not None and tokenizer.modality != "text":
                n = str(connectors[connector].num_tokens(tokenizer.num_tokens))
            found.add_row(part, kind, gives, f"(n, D) = ({n}, {model.dim})")
    for name, table_of in model.queries.items():
        count = next(span.num_queries for span in templates if span.tokenizer == name)
        found.add_row(f"queries {name}", type(table_of).__name__, "", f"(n, D) = ({count}, {model.dim})")
    for name, head in model.heads.items():
        owner = next((span.tokenizer for span in templates if span.head == name), None)
        if owner is None:
            continue
        width = f"(V,) = ({model.vocabulary.size},)" if head.discrete else f"(d,) = ({tokenizers[owner].token_dim},)"
        found.add_row(f"head {name}", type(head).__name__, f"(D,) = ({model.dim},), one state", width)
    return found


def _tokens(tokenizer: Tokenizer) -> str:
    n = "n" if tokenizer.modality == "text" else str(tokenizer.num_tokens)
    return (
        f"({n},) codes of {tokenizer.codebook_size:,}"
        if tokenizer.discrete
        else f"(n, d) = ({n}, {tokenizer.token_dim})"
    )


def _routing(model: UnifiedModel, assembly: Assembly) -> list[RenderableType]:
    """Return where each block sends the batch's positions; blocks that agree share a table.

    A block with experts says so by `route(layout) -> ids`, `(B, L)` or `(B, L, k)`, -1 for none.
    """
    layout = assembly.layout
    if any(hasattr(block, "route") for block in model.blocks):
        with torch.no_grad():
            model.run(model.embed(assembly))  # a router that learns tells where it sent what it read last
    kinds: dict[Kind, Tensor] = {}
    for m, modality in enumerate(MODALITIES):
        for r, role in enumerate(("context", "target")):
            where = layout.valid & (layout.modality == m) & (layout.role == r)
            if bool(where.any()):
                kinds[modality, role] = where
    agreeing: dict[str, tuple[list[int], list[tuple[str, list[int]]]]] = {}
    for index, block in enumerate(model.blocks):
        route = getattr(block, "route", None)
        if route is None:
            title = f"{type(block).__name__}, dense"
            experts = [("the one set of weights", [int(where.sum()) for where in kinds.values()])]
        else:
            title = f"{type(block).__name__}, routed"
            experts = _experts(route(layout), list(kinds.values()))
        agreeing.setdefault(f"{title}{experts}", ([], [(title, []), *experts]))[0].append(index)
    tables: list[RenderableType] = []
    for indices, ((title, _), *experts) in agreeing.values():
        columns = [f"{modality} {role}" for modality, role in kinds]
        heading = f"Routing in blocks {ranges(indices)} ({title}): positions of the batch"
        found = table(heading, "expert", *columns, "all", right=(*columns, "all"))
        for expert, counts in experts:
            found.add_row(expert, *(f"{count:,}" for count in counts), f"{sum(counts):,}")
        tables.append(found)
    return tables


def _experts(chosen: Tensor, kinds: Sequence[Tensor]) -> list[tuple[str, list[int]]]:
    chosen = chosen if chosen.ndim == 3 else chosen[..., None]  # (B, L, k)
    return [
        (f"expert {expert}", [int((chosen[where] == expert).sum()) for where in kinds])
        for expert in torch.unique(chosen[chosen >= 0]).tolist()
    ]


def _parameters(costs: Costs) -> Table:
    numbers = ("parameters", "trained", "buffers")
    found = table("Parameters", "part", "kind", *numbers, right=numbers)
    for part in costs.parts:
        buffers = f"{part.buffers:,}" if part.buffers else ""
        found.add_row(part.name, part.kind, f"{part.total:,}", f"{part.trained:,}", buffers)
    found.add_section()
    found.add_row("all", "", f"{costs.total:,}", f"{costs.trained:,}")
    found.add_row("active per position", "", f"{costs.active:,}")
    return found


def _costs(costs: Costs, samples: int) -> Text:
    step = costs.forward + costs.backward
    facts = [
        (
            "step",
            f"{number(step)}FLOPs for {samples} samples: forward {number(costs.forward)}, backward "
            f"{number(costs.backward)}; attention is {costs.attention / max(1, step):.0%} of it; "
            f"one sample {number(step / samples)}FLOPs",
        )
    ]
    if costs.picture is not None:
        facts.append(("drawing", f"{number(costs.picture)}FLOPs for one picture ({costs.picture_settings})"))
    facts.append(
        (
            "counted",
            "matrix products, convolutions, attention, on a real step; not norms, activations, softmax, look-ups",
        )
    )
    if costs.uncounted:
        facts.append(("NOT counted", f"though heavy, for want of a formula: {', '.join(costs.uncounted)}"))
    state = 16 * costs.trained + 4 * (costs.total - costs.trained)
    facts += [
        ("activations", f"{number(costs.activations)}B kept between the forward and the backward pass"),
        ("weights", f"{number(4 * costs.total)}B; with gradients and AdamW's moments {number(state)}B (float32)"),
    ]
    return lines(*facts)
