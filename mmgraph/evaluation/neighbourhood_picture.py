"""The picture of a neighbourhood: contents of the nodes, relations by colour, and how much each neighbour mattered."""

from __future__ import annotations

import math
import textwrap
from typing import Any, Literal

from mmgraph.evaluation import curves
from mmgraph.evaluation.neighbourhoods import NeighbourhoodView, NodeView

HELPS, HARMS = "#3d8b57", "#c2571a"
GREY = "#8a8f99"
LARGEST = 2600
"""Area of the disc behind the neighbour that matters most, in square points."""
Places = dict[int, tuple[float, float]]


def draw(view: NeighbourhoodView, *, show: Literal["matters", "attention"] = "matters", axes: Any = None) -> Any:
    """Draw a neighbourhood; return the axes.

    Edges have the colour of their relation. Behind each neighbour is a disc as large as it matters, green where the
    answer is dearer without it, orange where it is cheaper. A node without picture is its text, a content that is
    hidden or not there is `?`.

    Args:
        view: What is drawn.
        show: The size of the discs: what the answer loses without the neighbour, or its share of the attention (where
            the injector has none, what the answer loses).
        axes: Of matplotlib; None: of a new figure of pyplot.
    """
    from matplotlib.lines import Line2D

    if axes is None:
        from matplotlib import pyplot

        _, axes = pyplot.subplots(figsize=(5.6, 4.8), layout="constrained")
    places = _places(view)
    colours = {name: curves.COLORS[at % len(curves.COLORS)] for at, name in enumerate(view.relations)}
    for one, other, relation in sorted({(min(a, b), max(a, b), relation) for a, b, relation in view.edges}):
        xs, ys = zip(places[one], places[other], strict=True)
        axes.plot(xs, ys, color=colours[relation], linewidth=1.6, zorder=1)
    attends = show == "attention" and all(each.attention is not None for each in view.neighbours)
    values = [each.attention if attends else each.matters for each in view.neighbours]
    largest = max((abs(value or 0) for value in values), default=0) or 1
    for each, value in zip(view.neighbours, values, strict=True):
        size = LARGEST * abs(value or 0) / largest
        axes.scatter(*places[each.node], s=size, color=HELPS if (value or 0) >= 0 else HARMS, alpha=0.45, zorder=2)
        told = f"{value:.2f}" if attends else f"{value:+.2f}"
        _node(axes, each, places[each.node], "0" if told in ("+0.00", "-0.00") else told)
    _node(axes, view.node, places[view.node.node], "", wide=True)
    used = {edge[2] for edge in view.edges}
    lines = [Line2D([], [], color=colours[name], label=name.replace("_", " ")) for name in colours if name in used]
    if lines:
        axes.legend(handles=lines, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=3, frameon=False, fontsize=8)
    weight = "share of attention" if attends else f"{view.unit} more without it"
    axes.set_title("\n".join((*textwrap.wrap(f"node {view.node.node}: {view.asked}", 60), weight)), fontsize=8)
    reach = max((math.hypot(*place) for place in places.values()), default=0) + 0.55
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-reach, reach)
    axes.set_aspect("equal")
    axes.set_axis_off()
    return axes


def as_svg(view: NeighbourhoodView) -> str:
    """Return the picture as an SVG element for a report."""
    from matplotlib.figure import Figure

    with curves.style():
        figure = Figure(figsize=(5.6, 4.8), layout="constrained")
        draw(view, axes=figure.add_subplot())
        return curves.as_svg(figure, view.words)


def _node(axes: Any, view: NodeView, place: tuple[float, float], number: str, *, wide: bool = False) -> None:
    """Draw one node: its picture, else its text, else a question mark; below it its text, above it a number."""
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    frame = {"edgecolor": "black" if wide else GREY, "linewidth": 1.6 if wide else 0.8, "boxstyle": "round,pad=0.15"}
    if view.picture is not None:
        picture = view.picture.permute(1, 2, 0).squeeze(-1).numpy()
        image = OffsetImage(picture, zoom=26 / max(picture.shape[:2]), cmap="grey", interpolation="nearest")
        axes.add_artist(AnnotationBbox(image, place, pad=0.15, bboxprops=frame, zorder=3))
    else:
        said = "\n".join(textwrap.wrap(view.text or "?", 12))
        box = {"facecolor": "white", **frame}
        axes.text(*place, said, fontsize=7, ha="center", va="center", bbox=box, color="black")
    if view.picture is not None and view.text:
        said = "\n".join(textwrap.wrap(view.text, 14))
        axes.annotate(said, place, (0, -19), textcoords="offset points", fontsize=6, ha="center", va="top")
    above = {"xytext": (0, 19), "textcoords": "offset points", "ha": "center", "va": "bottom"}
    axes.annotate(number, place, fontsize=7, weight="bold", **above)


def _places(view: NeighbourhoodView) -> Places:
    """Return where nodes stand: neighbours in rings by hop, the farther ones near those that lead to them."""
    places: Places = {view.node.node: (0.0, 0.0)}
    near: dict[int, set[int]] = {}
    for one, other, _ in view.edges:
        near.setdefault(one, set()).add(other)
        near.setdefault(other, set()).add(one)
    last = max((each.hop for each in view.neighbours), default=0)
    before: dict[int, float] = {}
    for hop in [*range(1, last + 1), 0]:  # those that no edge led to stand farthest out
        ring = list(dict.fromkeys(each.node for each in view.neighbours if each.hop == hop if each.node not in places))

        def angle(node: int, known: dict[int, float] = before) -> float:
            led = [known[other] for other in near.get(node, ()) if other in known]
            return min(led, default=math.tau)

        ring.sort(key=angle)
        radius = 1.15 * (hop or last + 1)
        start = math.pi / 2 if not before else angle(ring[0]) % math.tau if ring else 0.0
        now = {node: start + math.tau * at / len(ring) for at, node in enumerate(ring)}
        places |= {node: (radius * math.cos(turn), radius * math.sin(turn)) for node, turn in now.items()}
        before = now or before
    return places
