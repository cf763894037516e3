"""Measures: paths into metrics.json, looked up, listed, and checked before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmgraph.errors import UsageError, nearest

SECTIONS = (
    *("understanding", "understanding_trained", "generation", "drawing", "reconstruction", "losses", "graph"),
    *("training", "evaluation"),
)
POPULATIONS = ("trained", "unseen")
ABOUT = ("n", "ci95", "chance", "majority")
"""What is kept of a score beside its value."""
CODES = ("codebook_use", "perplexity")
"""What is said of an autoencoder's codes beside its headline scores."""


def lookup(metrics: Mapping[str, Any], path: str) -> dict[str, Any] | None:
    """Return value, n, ci95, chance, majority and `better` of a measure, or None where the run has none.

    A path names a number, or a score of which it means the value: `generation.unseen.recall_at_10`.
    """
    parent, node = _walk(metrics, path.split("."))
    if isinstance(node, Mapping):
        name = next((name for name in ("value", "accuracy") if name in node), None)
        parent, node = node, node.get(name) if name else None
    if isinstance(node, bool) or not isinstance(node, (int, float)):
        return None
    about = parent or {}
    scored = any(about.get(name) is node for name in ("value", "accuracy"))
    found = {"value": node, **{name: about.get(name) if scored else None for name in ABOUT}}
    return {**found, "better": better(metrics, path)}


def better(metrics: Mapping[str, Any], path: str) -> str:
    """Return which way a measure is better: `higher`, `lower`, `one` or `none`."""
    parts = path.split(".")
    if parts[0] in ("understanding", "understanding_trained"):
        return "higher"
    if parts[0] == "losses":
        return "lower"
    if parts[0] == "graph":
        return "higher" if parts[-1] == "accuracy" else "lower"
    return str(metrics.get("legend", {}).get(parts[-1], {}).get("better", "none"))


def available(metrics: Mapping[str, Any]) -> list[str]:
    """Return the path of every measure of a run."""
    return list(_paths({name: metrics[name] for name in SECTIONS if metrics.get(name)}, ()))


def headline(metrics: Mapping[str, Any]) -> list[str]:
    """Return the measures that a study takes where it names none.

    What comes back of pictures is one of them only where nothing is drawn: an autoencoder's own result.
    """
    legend = metrics.get("legend", {})
    shown = "generation" if metrics.get("generation") else "reconstruction"
    found = []
    for path in available(metrics):
        section, *_, last = path.split(".")
        wanted = section == "understanding" or (section == "losses" and ".by_time." not in path)
        wanted |= section in (shown, "drawing") and bool(legend.get(last, {}).get("headline"))
        if wanted or (section == shown == "reconstruction" and last in CODES):
            found.append(path)
    return found


def check(paths: Sequence[str]) -> None:
    """Refuse paths that no run can have, as far as that is known before there is one.

    Raises:
        UsageError: Naming the nearest section or population.
    """
    for path in paths:
        parts = path.split(".")
        if parts[0] not in SECTIONS:
            raise UsageError(
                f"there is no measure '{path}': '{parts[0]}' is no part of it. {nearest(parts[0], SECTIONS)}"
            )
        if parts[0] in ("generation", "reconstruction") and (len(parts) < 3 or parts[1] not in POPULATIONS):
            known = nearest(parts[1] if len(parts) > 1 else "", POPULATIONS)
            raise UsageError(f"the measure '{path}' needs a population and a score: {parts[0]}.unseen.NAME. {known}")
        if parts[0] == "drawing" and (len(parts) < 4 or parts[2] not in POPULATIONS):
            known = nearest(parts[2] if len(parts) > 2 else "", POPULATIONS)
            raise UsageError(
                f"the measure '{path}' needs a task, a population and a score: drawing.TASK.unseen.NAME. {known}"
            )


def check_found(paths: Sequence[str], runs: Iterable[Mapping[str, Any]]) -> None:
    """Refuse measures that not one of some finished runs has.

    Args:
        paths: What the study measures.
        runs: What metrics.json holds, of one run of each arm.

    Raises:
        UsageError: Naming the nearest measure that there is.
    """
    runs = list(runs)
    known = sorted({path for run in runs for path in available(run)})
    for path in paths:
        if runs and all(lookup(run, path) is None for run in runs):
            raise UsageError(f"no arm has the measure '{path}'. {nearest(path, known)}")


def _walk(node: Any, parts: Sequence[str], parent: Any = None) -> tuple[Any, Any]:
    """Return what a path leads to, and what holds it; names may contain dots (`by_time.0.5`)."""
    if not parts:
        return parent, node
    if isinstance(node, Mapping):
        for count in range(1, len(parts) + 1):
            name = ".".join(parts[:count])
            if name in node:
                found = _walk(node[name], parts[count:], node)
                if found[1] is not None:
                    return found
    return parent, None


def _paths(node: Any, parts: tuple[str, ...]) -> Iterable[str]:
    if isinstance(node, bool):
        return
    if isinstance(node, (int, float)):
        yield ".".join(parts)
    elif isinstance(node, Mapping):
        if "value" in node:
            yield ".".join(parts)
            if isinstance(node.get("by_time"), Mapping):
                yield from _paths(node["by_time"], (*parts, "by_time"))
        elif "accuracy" in node:
            yield ".".join((*parts, "accuracy"))
        else:
            for name, child in node.items():
                yield from _paths(child, (*parts, name))
