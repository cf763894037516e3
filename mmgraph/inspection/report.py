"""The text of an inspection: tables that fit 100 columns."""

from __future__ import annotations

import io
import textwrap
from collections import Counter
from collections.abc import Sequence

import torch
from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text
from torch import Tensor

from mmgraph import sequence
from mmgraph.datasets import Dataset
from mmgraph.inspection.costs import Costs
from mmgraph.inspection.views import PieceView, SampleView, ranges
from mmgraph.models.assembly import Assembly
from mmgraph.models.unified import UnifiedModel
from mmgraph.sequence import MODALITIES, Sample, Segment

WIDTH = 100
_NAME = 14


def render(
    model: UnifiedModel, dataset: Dataset, batch: Sequence[Sample], views: Sequence[SampleView], costs: Costs
) -> str:
    """Return the whole description."""
    assembly = model.assemble(batch, training=True)
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, highlight=False, emoji=False, markup=False)
    for part in _summary(model, dataset, batch, assembly):
        console.print(part)
    for number, view in enumerate(views, start=1):
        console.rule(f"sample {number} of {len(views)}: task '{view.sample.task}'", align="left", characters="=")
        for part in _sample(model, view):
            console.print(part)
    console.rule("the whole batch", align="left", characters="=")
    for part in (*_routing(model, assembly), *_costs(model, batch, costs)):
        console.print(part)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in lines).strip()


def number(value: float) -> str:
    """Return a large number with a unit prefix, three figures."""
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g} {prefix}"
    return f"{value:.3g}"


def _table(title: str, *columns: str, right: Sequence[str] = ()) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="", pad_edge=False, padding=(0, 1))
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def letters() -> str:
    """Return the legend of shape letters, from the one place that holds it."""
    legend = (sequence.__doc__ or "").partition("Shape letters")[2].partition(":")[2]
    return " ".join(legend.split())


def _lines(*pairs: tuple[str, str]) -> Text:
    """Return names and what is said of them, wrapped in a column of its own."""
    found = []
    for name, said in pairs:
        wrapped = textwrap.wrap(said, WIDTH - _NAME, break_long_words=False) or [""]
        found += [f"{name if k == 0 else '':<{_NAME}}{line}" for k, line in enumerate(wrapped)]
    return Text("\n".join(found))


def _summary(
    model: UnifiedModel, dataset: Dataset, batch: Sequence[Sample], assembly: Assembly
) -> list[RenderableType]:
    tasks = Counter(sample.task for sample in batch)
    rows, length = assembly.layout.shape
    read = int(assembly.layout.valid.sum())
    layout = "all alike" if assembly.layout.shared else "of different layouts"
    facts = [
        ("samples", f"{len(batch)} ({', '.join(f'{task} {count}' for task, count in sorted(tasks.items()))})"),
        (
            "layout",
            f"(B, L) = ({rows}, {length}), rows {layout}; {read:,} positions are read, "
            f"{1 - read / (rows * length):.0%} is padding",
        ),
        ("sequence", f"(B, L, D) = ({rows}, {length}, {model.dim}), through {model.depth} blocks"),
        ("letters", letters()),
    ]
    if model.condition_dropout:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in model.condition_dropout.items())
        facts.append(("dropped", f"in training, of the samples that draw: {shares} (below, nothing is dropped)"))
    title = Text(f"{type(model).__name__} on {type(dataset).__name__}: one training batch as the model sees it\n")
    return [title, _lines(*facts), Text(), _shapes(model)]


def _shapes(model: UnifiedModel) -> Table:
    table = _table("Shapes: what becomes of one item", "part", "class", "reads", "gives")
    spans = {span.tokenizer: span for span in model.processor.templates()}
    for name, tokenizer in model.tokenizers.items():
        n = "n" if tokenizer.modality == "text" else str(tokenizer.num_tokens)
        reads = "str" if tokenizer.modality == "text" else "(C, height, width) uint8"
        gives = f"({n},) codes of {tokenizer.codebook_size:,}" if tokenizer.discrete else f"({n}, d) = ({n}, {tokenizer.token_dim})"
        table.add_row(f"tokenizer {name}", type(tokenizer).__name__, reads, gives)
        connector = spans[name].connector if name in spans else None
        if connector is not None:
            width = model.connectors[connector].num_tokens(tokenizer.num_tokens)
            kind = type(model.connectors[connector]).__name__
            table.add_row(f"connector {connector}", kind, gives, f"({width}, D) = ({width}, {model.dim})")
        elif tokenizer.discrete:
            table.add_row("vocabulary", "Vocabulary", gives, f"({n}, D) = ({n}, {model.dim})")
    size = model.vocabulary.size
    for name, head in model.heads.items():
        tokenizer = model.tokenizers[next(span.tokenizer for span in model.processor.templates() if span.head == name)]
        gives = f"(V,) = ({size:,},) scores" if head.discrete else f"(d,) = ({tokenizer.token_dim},)"
        table.add_row(f"head {name}", type(head).__name__, f"(D,) = ({model.dim},) hidden state", gives)
    return table


# -- one sample ---------------------------------------------------------------------------------------------


def _sample(model: UnifiedModel, view: SampleView) -> list[RenderableType]:
    segments = _table("Segments: what the sample says", "item", "modality", "content", "shape", "is")
    for item, segment in enumerate(view.sample.segments):
        segments.add_row(
            str(item), segment.modality, _content(segment), _shape(segment), "to be produced" if segment.target else "given"
        )
    spans = _table(
        "Spans: how the model reads it", "span", "item", "tokenizer", "connector", "head", "role", "place", "visible", "source"
    )
    for index, span in enumerate(view.spans):
        spans.add_row(
            str(index),
            str(span.item),
            span.tokenizer,
            span.connector or "-",
            span.head or "-",
            span.role,
            span.place,
            span.visible,
            span.source,
        )
    return [segments, spans, _positions(view), _scores(view), *_prefix(view)]


def _content(segment: Segment) -> str:
    if isinstance(segment.content, str):
        return _cut(repr(segment.content), 40)
    if isinstance(segment.content, Tensor):
        content = segment.content
        return f"values {content.min():g} to {content.max():g}"
    return _cut(str(segment.content), 40)


def _shape(segment: Segment) -> str:
    if isinstance(segment.content, Tensor):
        sizes = ", ".join(str(size) for size in segment.content.shape)
        return f"(C, height, width) = ({sizes}) {str(segment.content.dtype).removeprefix('torch.')}"
    return f"{len(segment.content)} letters" if isinstance(segment.content, str) else ""


def _positions(view: SampleView) -> Table:
    title = f"Positions: the strip of {view.length} that the blocks read"
    table = _table(title, "position", "tokens", "what", "modality", "role", "order", "may read", "time", right=("tokens",))
    for piece in view.pieces:
        table.add_row(
            ranges(range(piece.start, piece.stop)),
            str(piece.stop - piece.start),
            _cut(piece.label if piece.marker or not piece.words else "|".join(piece.words), 34),
            piece.modality,
            piece.role,
            piece.order if piece.stop - piece.start > 1 else "-",
            _reads(view.mask, piece),
            "" if piece.time is None else f"t = {piece.time:.2f}",
        )
    return table


def _reads(mask: Tensor, piece: PieceView) -> str:
    """Return what the first and the last position of a piece may attend to."""
    first, last = (ranges(mask[place].nonzero().flatten().tolist()) for place in (piece.start, piece.stop - 1))
    return first if first == last else f"{first} … {last}"


def _scores(view: SampleView) -> Table:
    table = _table(
        "Scored: what each head predicts", "head", "tokens at", "from states at", "terms", "against", right=("terms",)
    )
    for scored in view.scored:
        table.add_row(
            f"{scored.head} ({scored.kind})",
            ranges(scored.tokens),
            ranges(scored.states),
            str(len(scored.states)),
            _cut(scored.against, 40),
        )
    return table


def _prefix(view: SampleView) -> list[RenderableType]:
    found: list[RenderableType] = []
    for piece in view.pieces:
        if piece.static_prefix is not None:
            where = f"positions {ranges(range(piece.start, piece.stop))} ({piece.label})"
            can = (
                f"nothing before {where} reads them or their time, so the prefix is computed once for all denoising steps"
                if piece.static_prefix
                else f"something before {where} reads them or their time: each denoising step reads the prefix again"
            )
            found += [_lines(("Cache", f"{can}.")), Text()]
    return found


# -- the batch ----------------------------------------------------------------------------------------------


def _routing(model: UnifiedModel, assembly: Assembly) -> list[RenderableType]:
    layout = assembly.layout
    kinds = {
        (MODALITIES[m], ("context", "target")[r]): layout.valid & (layout.modality == m) & (layout.role == r)
        for m in range(len(MODALITIES))
        for r in (0, 1)
    }
    kinds = {kind: where for kind, where in kinds.items() if bool(where.any())}
    groups: dict[str, list[int]] = {}
    rows: dict[str, list[tuple[str, dict[tuple[str, str], int]]]] = {}
    for index, block in enumerate(model.blocks):
        route = getattr(block, "route", None)
        if route is None:
            experts = [("the one set of weights", {kind: int(where.sum()) for kind, where in kinds.items()})]
        else:
            experts = _experts(route(layout), kinds)
        key = f"{type(block).__name__}{experts}"
        rows[key] = experts
        groups.setdefault(key, []).append(index)
    found: list[RenderableType] = []
    for key, indices in groups.items():
        block = model.blocks[indices[0]]
        routed = "routed by the layout" if getattr(block, "route", None) else "dense"
        title = f"Routing in blocks {ranges(indices)} ({type(block).__name__}, {routed}): positions of the batch"
        columns = [f"{modality} {role}" for modality, role in kinds]
        table = _table(title, "expert", *columns, "all", right=(*columns, "all"))
        for expert, counts in rows[key]:
            values = [counts[kind] for kind in kinds]
            table.add_row(expert, *(f"{value:,}" for value in values), f"{sum(values):,}")
        found.append(table)
    return found


def _experts(chosen: Tensor, kinds: dict[tuple[str, str], Tensor]) -> list[tuple[str, dict[tuple[str, str], int]]]:
    """Count positions by expert from ids `(B, L)`, or `(B, L, k)` where each position has k experts."""
    chosen = chosen if chosen.ndim == 3 else chosen[..., None]
    return [
        (f"expert {expert}", {kind: int((chosen[where] == expert).sum()) for kind, where in kinds.items()})
        for expert in torch.unique(chosen[chosen >= 0]).tolist()
    ]


def _costs(model: UnifiedModel, batch: Sequence[Sample], costs: Costs) -> list[RenderableType]:
    table = _table("Parameters", "part", "kind", "parameters", "trained", "buffers", right=("parameters", "trained", "buffers"))
    for part in costs.parts:
        buffers = f"{part.buffers:,}" if part.buffers else ""
        table.add_row(part.name, part.kind, f"{part.total:,}", f"{part.trained:,}", buffers)
    table.add_section()
    table.add_row("all", "", f"{costs.total:,}", f"{costs.trained:,}")
    table.add_row("active per position", "", f"{costs.active:,}")
    step = costs.forward + costs.backward
    each = f"; one sample {number(step / len(batch))}FLOPs"
    facts = [
        (
            "step",
            f"{number(step)}FLOPs for {len(batch)} samples: forward {number(costs.forward)}, backward "
            f"{number(costs.backward)}; attention is {costs.attention / max(1, step):.0%} of it{each}",
        )
    ]
    if costs.picture is not None:
        facts.append(("drawing", f"{number(costs.picture)}FLOPs for one picture ({costs.picture_settings})"))
    facts.append(
        (
            "counted",
            "matrix products, convolutions and attention, on a real step; not norms, activations, softmax, look-ups",
        )
    )
    if costs.uncounted:
        facts.append(("NOT counted", f"though heavy, for want of a formula: {', '.join(costs.uncounted)}"))
    state = 16 * costs.trained + 4 * (costs.total - costs.trained)
    facts += [
        ("activations", f"{number(costs.activations)}B kept between forward and backward pass"),
        ("weights", f"{number(4 * costs.total)}B; with gradients and AdamW's two moments {number(state)}B (float32)"),
    ]
    return [table, Text("Costs\n"), _lines(*facts)]
