"""How figures look: transparent, in an ink that a second file turns light for the dark scheme."""

from __future__ import annotations

INK = "#1b2433"
DARK_INK = "#dfe4ee"
GRID = "#c9cfda"
DARK_GRID = "#454d60"
# legible on white and on the dark scheme's background alike (at least 3 to 1, the bound for graphics)
CYCLE = ("#2f7fc1", "#d9662b", "#2a9d74", "#b0559f", "#a8821a", "#7a7f8c")

SETUP = f"""
import warnings as _warnings
_warnings.filterwarnings("ignore", message="IProgress not found")  # progress bars need no widgets here
_warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated")  # PyG's; it would print a path
import matplotlib as _matplotlib
from matplotlib_inline.backend_inline import set_matplotlib_formats as _formats
_formats("svg", bbox_inches="tight", metadata={{"Date": None, "Creator": None}})
_matplotlib.rcParams.update({{
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none", "legend.facecolor": "none",
    "legend.framealpha": 0.0, "legend.frameon": False, "svg.hashsalt": "mmgraph", "svg.fonttype": "path",
    "figure.figsize": (7.0, 3.2), "figure.dpi": 96, "savefig.dpi": 96, "figure.constrained_layout.use": True,
    "font.size": 11.0, "axes.titlesize": 11.5, "axes.spines.top": False, "axes.spines.right": False,
    "lines.linewidth": 2.0, "axes.grid": False, "image.interpolation": "nearest",
    "axes.prop_cycle": _matplotlib.cycler(color={list(CYCLE)!r}),
    "grid.color": "{GRID}", "text.color": "{INK}", "axes.labelcolor": "{INK}", "axes.edgecolor": "{INK}",
    "axes.titlecolor": "{INK}", "xtick.color": "{INK}", "ytick.color": "{INK}", "legend.labelcolor": "{INK}",
    "hatch.color": "{INK}", "boxplot.boxprops.color": "{INK}", "boxplot.whiskerprops.color": "{INK}",
    "boxplot.capprops.color": "{INK}",
}})
del _matplotlib, _formats
"""
"""Run in the kernel before the first cell; the notebook to download does without."""


def dark(svg: str) -> str:
    """Return the figure for the dark scheme: ink and grid turned light, everything else as it was.

    Matplotlib leaves black fills unstated, black being the default of SVG: the root states the light ink instead.
    """
    for light, other in ((INK, DARK_INK), (GRID, DARK_GRID), ("#000000", DARK_INK)):
        svg = svg.replace(light, other)
    return svg.replace("<svg ", f'<svg fill="{DARK_INK}" ', 1)
