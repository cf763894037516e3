"""Figures of a study as SVG: intervals, differences, learning curves, factor curves and fronts."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mmgraph.evaluation.curves import COLORS, PAGE_COLOR, as_svg, style
from mmgraph.evaluation.studies.analysis import Analysis, Comparison, Summary
from mmgraph.evaluation.tables import number

MARKERS = "osD^vP"
"""Arms differ by marker as well as by colour: not everybody sees both."""


def intervals(analysis: Analysis, measure: str) -> str:
    """Return each arm's mean, 95 % interval over seeds and single seeds in one measure; nothing if none was run."""
    shown = [summary for summary in analysis.of(measure) if summary.mean is not None]
    if not shown:
        return ""
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(6.4, 0.9 + 0.34 * len(shown)), layout="constrained")
        axes = figure.add_subplot()
        for place, summary in enumerate(shown):
            color, marker = _look(analysis, summary.arm)
            values = list(summary.values.values())
            axes.plot(values, [place + 0.22] * len(values), ".", color=color, alpha=0.5, markersize=5)
            _interval(axes, place, summary.mean, summary.interval, color, marker)
        chance = {summary.chance for summary in shown if summary.chance is not None}
        for value in chance if len(chance) == 1 else ():
            axes.axvline(value, color=PAGE_COLOR, alpha=0.5, linestyle="--", linewidth=1)
            axes.annotate(
                "chance", (value, 1), xycoords=("data", "axes fraction"), fontsize=8, ha="center", va="bottom"
            )
        _rows(axes, [_label(analysis, summary) for summary in shown])
        axes.set_xlabel(measure)
        return svg(figure, f"{measure}: {'; '.join(_said(analysis, summary) for summary in shown)}.")


def differences(analysis: Analysis, measure: str) -> str:
    """Return each contrast's paired difference with its interval in one measure; nothing if none was run."""
    shown = [one for one in analysis.comparisons if one.measure == measure and one.mean is not None]
    if not shown:
        return ""
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(6.4, 0.9 + 0.34 * len(shown)), layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(0, color=PAGE_COLOR, alpha=0.5, linewidth=1)
        for place, one in enumerate(shown):
            color = COLORS[0] if one.primary else COLORS[3]
            values = list(one.differences.values())
            axes.plot(values, [place + 0.22] * len(values), ".", color=color, alpha=0.5, markersize=5)
            _interval(axes, place, one.mean, one.interval, color, "D" if one.primary else "o")
        _rows(axes, [title(one) for one in shown])
        axes.set_xlabel(f"difference in {measure}")
        said = "; ".join(f"{title(one)} {number(one.mean)}, {one.verdict}" for one in shown)
        return svg(figure, f"Paired differences in {measure}: {said}.")


def front(analysis: Analysis) -> str:
    """Return the study's two traded measures against each other: runs, means, and the line of those not dominated.

    An arm is dominated where another arm's mean is better in one of the two and no worse in the other.
    """
    if not analysis.study.front:
        return ""
    first, second = (analysis.of(measure) for measure in analysis.study.front)
    pairs = [(x, y) for x, y in zip(first, second, strict=True) if x.mean is not None and y.mean is not None]
    if not pairs:
        return ""
    from matplotlib.figure import Figure

    means = {_label(analysis, x): (x.mean or 0.0, y.mean or 0.0) for x, y in pairs}
    best = sorted(undominated(means, [pairs[0][0].better, pairs[0][1].better]), key=means.__getitem__)
    with style():
        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(*zip(*(means[name] for name in best), strict=True), color=PAGE_COLOR, alpha=0.5, linewidth=1)
        for x, y in pairs:
            color, marker = _look(analysis, x.arm)
            runs = [(value, y.values[seed]) for seed, value in x.values.items() if seed in y.values]
            axes.plot(*zip(*runs, strict=True), ".", color=color, alpha=0.5, markersize=5)
            label = _label(analysis, x)
            axes.plot(*means[label], marker, color=color, markersize=7, label=label)
        across, up = (f"{one.measure} ({one.better} is better)" for one in pairs[0])
        axes.set(xlabel=across, ylabel=up)
        plain(axes)
        axes.legend(frameon=False, fontsize=9)
        said = "; ".join(f"{name} at {number(x)}, {number(y)}" for name, (x, y) in means.items())
        names = " and ".join(analysis.study.front)
        return svg(figure, f"{names} of each arm: {said}. Not dominated: {', '.join(best)}.")


def undominated(means: Mapping[str, tuple[float, float]], better: Sequence[str]) -> list[str]:
    """Return the names for which no other is better in one value and no worse in the other."""
    signs = [-1 if way == "lower" else 1 for way in better]
    gains = {name: [sign * value for sign, value in zip(signs, pair, strict=True)] for name, pair in means.items()}
    return [
        name
        for name, own in gains.items()
        if not any(
            other != own and all(theirs >= mine for theirs, mine in zip(other, own, strict=True))
            for other in gains.values()
        )
    ]


def learning(analysis: Analysis) -> str:
    """Return the losses of every arm against CPU seconds and against steps, a thin line for each seed."""
    done = [row for row in analysis.rows if row["status"] == "done" and row.get("curves")]
    names = list(dict.fromkeys(name for row in done for name in row["curves"]))
    names = [name for name in names if any(len(row["curves"].get(name, ())) > 1 for row in done)]
    if not names:
        return ""
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(7.4, 0.6 + 2.3 * len(names)), layout="constrained")
        grid = figure.subplots(len(names), 2, squeeze=False, sharey="row")
        for (line, name), column in itertools.product(enumerate(names), (0, 1)):
            axes, told = grid[line][column], set()
            for row in done:
                points = row["curves"].get(name, ())
                color, _ = _look(analysis, row["arm"])
                label = _label(analysis, row["arm"]) if row["arm"] not in told else None
                told.add(row["arm"])
                place = 1 - column  # CPU seconds first: steps cost differently in different arms
                axes.plot(
                    [point[place] for point in points],
                    [point[2] for point in points],
                    color=color,
                    linewidth=1.2,
                    alpha=0.75,
                    linestyle=_dash(analysis, row["factors"]),
                    label=label,
                )
            axes.set_xlabel("steps" if column else "CPU seconds of training")
            plain(axes)
            if not column:
                axes.set_ylabel(name.replace("_", " "))
        grid[0][1].legend(frameon=False, fontsize=9)
        return svg(figure, f"Learning curves of {', '.join(names)} against CPU seconds and steps, by arm and seed.")


def factors(analysis: Analysis, measure: str) -> str:
    """Return a measure against the first factor, a line for each arm and each level of the other factors."""
    if not analysis.study.factors:
        return ""
    factor = analysis.study.factors[0]
    lines: dict[tuple[str, Any], list[Summary]] = {}
    for summary in analysis.of(measure):
        if summary.mean is not None:
            lines.setdefault((summary.arm, summary.levels[1:]), []).append(summary)
    if not any(len(line) > 1 for line in lines.values()):
        return ""
    from matplotlib.figure import Figure

    places = _places(list(factor.levels))
    with style():
        figure = Figure(figsize=(6.4, 3.4), layout="constrained")
        axes = figure.add_subplot()
        for (arm, rest), line in lines.items():
            color, marker = _look(analysis, arm)
            x = [places[summary.levels[0][1]] for summary in line]
            means = [summary.mean or 0.0 for summary in line]
            label = ", ".join([_label(analysis, arm), *(f"{name} {level}" for name, level in rest)])
            dash = _dash(analysis, dict(rest))
            axes.plot(x, means, color=color, marker=marker, markersize=4, linestyle=dash, label=label)
            ends = [summary.interval for summary in line]
            if all(ends):
                axes.fill_between(
                    x, [end[0] for end in ends if end], [end[1] for end in ends if end], color=color, alpha=0.12
                )
        axes.set_xlabel(factor.name.replace("_", " "))
        axes.set_ylabel(measure)
        values = sorted(places.values())
        if values[0] > 0 and values[-1] / values[0] > 10:
            axes.set_xscale("log")
        axes.set_xticks(list(places.values()), labels=list(places))
        axes.minorticks_off()
        plain(axes)
        axes.legend(frameon=False, fontsize=9)
        said = "; ".join(_said(analysis, summary) for line in lines.values() for summary in line)
        return svg(figure, f"{measure} against {factor.name}: {said}.")


def title(one: Comparison) -> str:
    """Return a contrast with the levels at which it is tested."""
    if one.levels is None:
        return f"{one.contrast.title}, mean over levels"
    left = [f"{name} {level}" for name, level in one.levels if name not in one.contrast.at]
    return ", ".join([one.contrast.title, *left])


def _interval(
    axes: Any, place: int, mean: float | None, ends: tuple[float, float] | None, color: str, marker: str
) -> None:
    if ends is not None:
        axes.plot(ends, [place, place], color=color, linewidth=2, solid_capstyle="round")
    axes.plot([mean], [place], marker, color=color, markersize=6)


def _rows(axes: Any, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), labels=list(labels))
    axes.set_ylim(len(labels) - 0.5, -0.5)
    plain(axes)


def plain(axes: Any) -> None:
    """Leave a plot its left and lower edge, and a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.15, color=PAGE_COLOR)


def _look(analysis: Analysis, arm: str) -> tuple[str, str]:
    place = [known.name for known in analysis.study.arms].index(arm)
    return COLORS[place % len(COLORS)], MARKERS[place % len(MARKERS)]


def _dash(analysis: Analysis, levels: dict[str, str]) -> str:
    """Return a line style for the level of the first factor that is in `levels`."""
    for factor in analysis.study.factors:
        if factor.name in levels:
            return ("-", "--", ":", "-.")[list(factor.levels).index(str(levels[factor.name])) % 4]
    return "-"


def _label(analysis: Analysis, of: Summary | str) -> str:
    if isinstance(of, str):
        return analysis.study.arm(of).title
    return ", ".join([analysis.study.arm(of.arm).title, *(f"{name} {level}" for name, level in of.levels)])


def _said(analysis: Analysis, summary: Summary) -> str:
    ends = f" [{number(summary.interval[0])}, {number(summary.interval[1])}]" if summary.interval else ""
    return f"{_label(analysis, summary)} {number(summary.mean)}{ends}"


def _places(levels: Sequence[str]) -> dict[str, float]:
    """Return where levels stand on an axis: at their numbers, or one after another."""
    try:
        return {level: float(level) for level in levels}
    except ValueError:
        return {level: float(place) for place, level in enumerate(levels)}


def svg(figure: Any, label: str) -> str:
    """Return the figure in one line, for a blank line would end it in Markdown."""
    return re.sub(r"\s*\n\s*", " ", as_svg(figure, label)).strip()
