"""Loss curves as inline SVG, from logs/metrics.csv."""

from __future__ import annotations

import contextlib
import csv
import html
import io
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE_COLOR = "#010203"
"""Given to text and axes, then replaced by `currentColor`: they follow a page's light or dark scheme."""
_POINTS = 400
"""Most points of one curve: a log of every step would make the page heavy and show no more."""
COLORS = ("#2f6fb0", "#c2571a", "#3d8b57", "#8a5bb5", "#a8862a", "#b04470")


def read(path: Path) -> dict[str, tuple[list[float], list[float]]]:
    """Return the loss columns of a log as (steps, values), those of training first.

    A column belongs if it is a loss of one stage: `train_loss`, `train_image`, `val_text`, ... Rows are
    ragged, for stages write at different steps; what is not a finite number is left out.
    """
    if not path.is_file():
        return {}
    found: dict[str, tuple[list[float], list[float]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            step = number(row.get("step"))
            for name, text in row.items():
                value = number(text)
                if step is None or value is None or not re.match(r"(train|val|test)_|.*loss", name or ""):
                    continue
                steps, values = found.setdefault(name, ([], []))
                steps.append(step)
                values.append(value)
    order = {"train": 0, "val": 1}

    def place(item: tuple[str, object]) -> tuple[int, bool, str]:
        stage, _, part = item[0].partition("_")
        return order.get(stage, 2), part != "loss", part

    return dict(sorted(found.items(), key=place))


def render(curves: dict[str, tuple[list[float], list[float]]]) -> str:
    """Return an SVG element of all curves on one logarithmic axis, or nothing if there are none."""
    if not curves:
        return ""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

    with style():
        figure = Figure(figsize=(6.4, 3.2), layout="constrained")
        axes = figure.add_subplot()
        for number, (name, (steps, values)) in enumerate(curves.items()):
            color = COLORS[number % len(COLORS)]
            held_out = not name.startswith("train")
            label = name.replace("_", " ", 1)
            if held_out or len(values) < 30:
                axes.plot(steps, values, color=color, label=label, linewidth=1.6, marker="o", markersize=3.5)
            else:
                stride = -(-len(values) // _POINTS)
                axes.plot(steps[::stride], values[::stride], color=color, alpha=0.18, linewidth=0.8)
                smoothed = smooth(values)[::stride]
                axes.plot(steps[::stride], smoothed, color=color, label=label, linewidth=1.6)
        if all(value > 0 for _, values in curves.values() for value in values):
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
            axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.15, color=PAGE_COLOR)
        axes.legend(frameon=False, ncols=min(3, len(curves)), loc="upper right")
        names = ", ".join(name.replace("_", " ", 1) for name in curves)
        return as_svg(figure, f"Loss over training steps: {names}")


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Draw as all figures of reports and pages are drawn: text and axes in the page's own colour."""
    import matplotlib

    options = {
        "svg.fonttype": "none",
        "svg.hashsalt": "mmgraph",
        "font.size": 10,
        "font.family": "sans-serif",
        **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), PAGE_COLOR),
    }
    with matplotlib.rc_context(options):  # type: ignore[arg-type]
        yield


def as_svg(figure: Any, label: str) -> str:
    """Return a figure, drawn in `style`, as an SVG element that says `label` to those who cannot see it."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(PAGE_COLOR, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    opening, rest = svg.split(">", 1)
    opening = re.sub(r' (?:width|height)="[^"]*"', "", opening)  # the page's width decides
    return f'{opening} role="img" aria-label="{html.escape(label)}">{rest}'


def smooth(values: list[float]) -> list[float]:
    """Return a running mean over a fortieth of the curve, both sides."""
    reach = max(1, len(values) // 80)
    sums = [0.0]
    for value in values:
        sums.append(sums[-1] + value)
    spans = [(max(0, place - reach), min(len(values), place + reach + 1)) for place in range(len(values))]
    return [(sums[stop] - sums[start]) / (stop - start) for start, stop in spans]


def number(text: str | None) -> float | None:
    """Return the finite number that a cell of a log holds, or None."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
