"""Figures of a graph lift: by relation, against homophily, and with a part of the edges taken away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmgraph.evaluation.curves import COLORS, PAGE_COLOR, style
from mmgraph.evaluation.node_conditions import RANGES, REMOVED
from mmgraph.evaluation.statistics import Interval
from mmgraph.evaluation.studies.analysis import Analysis
from mmgraph.evaluation.studies.graph_lift import ALONE, Lift, lifts
from mmgraph.evaluation.studies.plots import plain, svg
from mmgraph.evaluation.tables import number

SHOWN = ("accuracy", "denoising")
"""One endpoint of each side."""


def by_relation(analysis: Analysis) -> str:
    """Return what each relation alone gains over the graph-blind arm, beside all of them; nothing if none was run."""
    arms = [arm.name for arm in analysis.study.arms if arm.name.startswith(ALONE)]
    if not arms:
        return ""
    rows: list[list[tuple[str, Lift]]] = []
    for name in SHOWN:
        measure = f"graph.{name}"
        found = [("all relations", one) for one in lifts(analysis, measures=(measure,)) if one.minus == "mlp"]
        for arm in arms:
            found += [(arm.removeprefix(ALONE), one) for one in lifts(analysis, arm, (measure,)) if one.minus == "mlp"]
        rows.append([(label, one) for label, one in found if one.mean is not None])
    return _gains(rows, "relations alone, over the graph-blind arm")


def against_homophily(analysis: Analysis) -> str:
    """Return what real edges gain for nodes by how many of their neighbours are alike; nothing if it is not known."""
    rows = []
    for name in SHOWN:
        paths = {f"graph.alike.{group}.{name}": f"{group} %" for group in RANGES}
        paths = {f"graph.isolated.{name}": "no edges", **paths}
        found = {one.measure: one for one in lifts(analysis, measures=tuple(paths)) if one.minus == "mlp"}
        known = [(label, found[path]) for path, label in paths.items() if path in found]
        rows.append([(label, one) for label, one in known if one.mean is not None])
    return _gains(rows, "nodes by the share of neighbours of their class, over the graph-blind arm") if rows[0] else ""


def robustness(analysis: Analysis) -> str:
    """Return what real edges reach with a part of the edges taken away; nothing where that was not measured."""
    known = {(one.arm, one.measure): one for one in analysis.summaries if one.mean is not None}
    curves = []
    for name in SHOWN:
        found = [(percent, known.get(("real", f"graph.removed.{percent}.{name}"))) for percent in REMOVED]
        curves.append([(percent, one) for percent, one in found if one is not None])
    if not curves[0]:
        return ""
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(7.4, 2.8), layout="constrained")
        said = []
        for axes, name, points in zip(figure.subplots(1, 2), SHOWN, curves, strict=True):
            x = [percent for percent, _ in points]
            for one in points:
                axes.plot([one[0]] * len(one[1].values), list(one[1].values.values()), ".", color=COLORS[0], alpha=0.5)
            axes.plot(x, [one.mean for _, one in points], "o-", color=COLORS[0], markersize=5)
            axes.set(xlabel="edges taken away, percent", ylabel=name)
            axes.set_xticks(x)
            plain(axes)
            values = ", ".join(f"{number(one.mean)} at {percent} %" for percent, one in points)
            said.append(f"{name} {values}")
        return svg(figure, f"Real edges, a part taken away when scored: {'; '.join(said)}.")


def _gains(rows: Sequence[Sequence[tuple[str, Lift]]], about: str) -> str:
    """Return gains with both intervals' widest ends, one panel for each endpoint of `SHOWN`."""
    from matplotlib.figure import Figure

    most = max(len(row) for row in rows)
    if not most:
        return ""
    with style():
        figure = Figure(figsize=(7.4, 1.0 + 0.34 * most), layout="constrained")
        said = []
        for panel, (axes, name, row) in enumerate(zip(figure.subplots(1, 2), SHOWN, rows, strict=True)):
            axes.axvline(0, color=PAGE_COLOR, alpha=0.5, linewidth=1)
            for place, (_, one) in enumerate(row):
                ends = _widest(one.seeds, one.items)
                if ends is not None:
                    axes.plot(ends, [place, place], color=COLORS[0], linewidth=2, solid_capstyle="round")
                axes.plot([one.mean], [place], "o", color=COLORS[0], markersize=6)
            axes.set_yticks(range(len(row)), labels=[label if not panel else "" for label, _ in row])
            axes.set_ylim(most - 0.5, -0.5)
            axes.set_xlabel(f"gain in {name}")
            plain(axes)
            said.append(f"{name}: " + ", ".join(f"{label} {number(one.mean)}" for label, one in row))
        return svg(figure, f"Gains of {about}: {'; '.join(said)}.")


def _widest(*intervals: Interval | None) -> Any:
    known = [ends for ends in intervals if ends is not None]
    return (min(low for low, _ in known), max(high for _, high in known)) if known else None
