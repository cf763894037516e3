"""The picture of an inspection: who may attend to whom, and which positions each head scores."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy

from mmgraph.datasets import Dataset
from mmgraph.inspection.views import PieceView, SampleView
from mmgraph.models.unified import UnifiedModel

INK, FAINT, PAPER = "#1f2430", "#8a8f99", "#ffffff"
MARKER = "#c9ccd3"
COLOURS = {
    ("text", "context"): "#a9cbee",
    ("text", "target"): "#2f77bd",
    ("image", "context"): "#f6cf9c",
    ("image", "target"): "#dd8216",
}
_ROLES = {"context": "given", "target": "to be produced"}
OTHERS = ("#b7dcb0", "#4b9a40")
"""Context and target of every further modality."""
SPELLED = 48
"""Longest sequence whose every position gets its own label."""
_BAR = 0.7
"""Where the bar of a head ends and the words that it must predict begin."""
_SQUARE, _LABELS, _HEAD_ROW, _FOOTER = 5.4, 2.0, 0.95, 0.45  # inches


def save(out: Path, views: Sequence[SampleView], model: UnifiedModel, dataset: Dataset) -> None:
    """Write a PNG with one panel per sample.

    Args:
        out: The file.
        views: One sample of each task.
        model: Whose batch it is.
        dataset: Where the samples come from.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heads = list(dict.fromkeys(scored.head for view in views for scored in view.scored))
    heights = [0.32, _SQUARE, *[_HEAD_ROW] * len(heads)]  # inches
    width = len(views) * (_SQUARE + 1.5) + 0.3
    title = f"Which shape goes where, and what is masked: {type(model).__name__} on {type(dataset).__name__}"
    titled, explained = (
        textwrap.wrap(title, int(width * 7.5)),
        textwrap.wrap(_explanation(model), int(width * 12.5)),
    )
    header = 0.3 * len(titled) + 0.22 * len(explained) + _LABELS
    height = header + sum(heights) + _FOOTER
    figure = Figure(figsize=(width, height), dpi=110, facecolor=PAPER)
    FigureCanvasAgg(figure)
    for column, view in enumerate(views):
        left, bottom = 1.4 + column * (_SQUARE + 1.5), height - header
        axes = []
        for tall in heights:
            bottom -= tall
            box = (left / width, bottom / height, _SQUARE / width, (tall - 0.08) / height)
            axes.append(figure.add_axes(box))
        _strip(axes[0], view)
        _mask(axes[1], view, first=column == 0)
        for axis, head in zip(axes[2:], heads, strict=True):
            _scores(axis, view, head)
    write = partial(figure.text, 0.2 / width, color=INK, va="top", linespacing=1.4)
    write(1 - 0.2 / height, "\n".join(titled), fontsize=15, weight="bold")
    write(1 - (0.25 + 0.3 * len(titled)) / height, "\n".join(explained), fontsize=10.5)
    _legend(figure, views)
    tasks = ", ".join(view.sample.task for view in views)
    described = f"{title}. Attention masks of one sample of each task ({tasks})."
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, metadata={"Title": title, "Description": described})


def _explanation(model: UnifiedModel) -> str:
    shifts = [f"'{name}' predicts {head.shift} position later" for name, head in model.heads.items() if head.shift]
    return (
        "The strip is what the blocks read. In the square, a position (row) may read another (column) where the cell "
        "is filled, in the colour of what is read: a staircase is read in order, a solid block all at once, and white "
        "is masked. Below it, the hidden states that each head scores, with what each must predict"
        + (f" (the head {', '.join(shifts)})." if shifts else ".")
    )


def _colour(piece: PieceView) -> str:
    if piece.marker:
        return MARKER
    return COLOURS.get((piece.modality, piece.role)) or OTHERS[piece.role == "target"]


def _colours(view: SampleView) -> numpy.ndarray:
    """Return the colour of each position, `(L, 3)`."""
    from matplotlib.colors import to_rgb

    return numpy.array([to_rgb(_colour(piece)) for piece in view.pieces for _ in range(piece.start, piece.stop)])


def _labels(view: SampleView) -> tuple[list[float], list[str]]:
    """Return where labels stand and what they say: every word of a short sequence, else the pieces."""
    places: list[float] = []
    names: list[str] = []
    single = False
    for piece in view.pieces:
        length = piece.stop - piece.start
        if piece.words and view.length <= SPELLED:
            places += range(piece.start, piece.stop)
            names += [_short(word) for word in piece.words]
        elif length == 1 and single:  # neighbours of one position each would be printed over one another
            places[-1] += 0.5
            names[-1] += " " + piece.label
        else:
            places.append((piece.start + piece.stop - 1) / 2)
            names.append(piece.label if length == 1 else f"{piece.label} ({length})")
        single = length == 1
    return places, names


def _frame(axis: Any, length: int) -> None:
    axis.set_xlim(-0.5, length - 0.5)
    axis.tick_params(length=0)
    for side in axis.spines.values():
        side.set_visible(False)


def _strip(axis: Any, view: SampleView) -> None:
    axis.imshow(_colours(view)[None], aspect="auto", interpolation="nearest", extent=(-0.5, view.length - 0.5, 0, 1))
    for piece in view.pieces:
        axis.axvline(piece.start - 0.5, color=PAPER, linewidth=1.6)
        if piece.time is not None:
            noise = f"t = {piece.time:.2f}" + (" (clean)" if piece.time == 1 else " (part noise)")
            axis.text(
                (piece.start + piece.stop - 1) / 2,
                0.5,
                noise,
                ha="center",
                va="center",
                fontsize=9,
                color=INK,
            )
    _frame(axis, view.length)
    places, names = _labels(view)
    axis.set_yticks([0.5], ["strip"], fontsize=9.5, color=INK, weight="bold")
    axis.xaxis.tick_top()
    axis.set_xticks(places, names, rotation=60, ha="left", rotation_mode="anchor", fontsize=9, color=INK)
    said = []
    for verb, target in (("given", False), ("produce", True)):
        of_kind = [segment.modality for segment in view.sample.segments if segment.target is target]
        said += [f"{verb} {' and '.join(of_kind)}"] if of_kind else []
    axis.set_title(
        f"task '{view.sample.task}': {', '.join(said)}",
        loc="left",
        fontsize=12.5,
        weight="bold",
        color=INK,
        pad=12,
    )


def _mask(axis: Any, view: SampleView, *, first: bool) -> None:
    colours, length = _colours(view), view.length
    filled = numpy.where(view.mask.cpu().numpy()[..., None], colours[None], 1.0)
    axis.imshow(filled, aspect="auto", interpolation="nearest")
    if length <= SPELLED:
        for place in range(length):
            axis.axhline(place - 0.5, color=PAPER, linewidth=0.4)
            axis.axvline(place - 0.5, color=PAPER, linewidth=0.4)
    for piece in view.pieces:
        for line in (axis.axhline, axis.axvline):
            line(piece.start - 0.5, color=INK, linewidth=0.6, alpha=0.45)
    _frame(axis, length)
    for side in axis.spines.values():
        side.set_visible(True)
        side.set_color(FAINT)
    places, names = _labels(view)
    axis.set_xticks([])
    axis.set_yticks(places, names, fontsize=9, color=INK)
    if first:
        axis.set_ylabel("position that reads", fontsize=10.5, color=INK)


def _scores(axis: Any, view: SampleView, head: str) -> None:
    axis.imshow(numpy.full((1, view.length, 3), 0.95), aspect="auto", extent=(-0.5, view.length - 0.5, _BAR, 1))
    _frame(axis, view.length)
    axis.set_ylim(0, 1)
    axis.set_xticks([])
    middle = (1 + _BAR) / 2
    axis.set_yticks([middle], [f"head '{head}'"], fontsize=9.5, color=INK, weight="bold")
    found = next((scored for scored in view.scored if scored.head == head), None)
    if found is None:
        axis.text(view.length / 2 - 0.5, middle, "scores nothing", ha="center", va="center", fontsize=9, color=FAINT)
        return
    colours, owners = _colours(view), dict(zip(found.states, found.tokens, strict=True))
    bar = numpy.full((1, view.length, 3), 0.95)
    for state, token in owners.items():
        bar[0, state] = colours[token]
    axis.imshow(bar, aspect="auto", interpolation="nearest", extent=(-0.5, view.length - 0.5, _BAR, 1))
    axis.set_ylim(0, 1)
    if view.length <= SPELLED and found.words:
        slanted = {"rotation": -50, "ha": "left", "va": "center", "rotation_mode": "anchor", "fontsize": 9}
        for state, word in zip(found.states, found.words, strict=True):
            axis.text(state, _BAR - 0.06, _short(word), color=INK, **slanted)
    else:
        said = f"{len(found.words)} next tokens" if found.words else found.against
        run = next(k for k, state in enumerate(found.states) if state + 1 not in owners) + 1
        ink = PAPER if colours[found.tokens[0]].mean() < 0.5 else INK
        axis.text(found.states[run // 2], middle, said, ha="center", va="center", fontsize=9, color=ink)


def _short(word: str) -> str:
    return word if len(word) <= 12 else word[:11] + "…"


def _legend(figure: Any, views: Sequence[SampleView]) -> None:
    from matplotlib.patches import Patch

    pieces = [piece for view in views for piece in view.pieces]
    order = sorted(pieces, key=lambda piece: (not piece.marker, piece.modality != "text", piece.modality, piece.role))
    kinds = {"marker" if piece.marker else f"{piece.modality} {_ROLES[piece.role]}": _colour(piece) for piece in order}
    patches = [Patch(facecolor=colour, label=name) for name, colour in kinds.items()]
    patches.append(Patch(facecolor=PAPER, edgecolor=FAINT, label="masked"))
    figure.legend(
        handles=patches,
        loc="lower left",
        bbox_to_anchor=(0.004, 0.0),
        ncol=len(patches),
        frameon=False,
        fontsize=10.5,
    )
