"""The page of a graph lift: the verdict, what it stands on, each relation alone, and what needs no training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from mmgraph.evaluation import files
from mmgraph.evaluation.statistics import Interval
from mmgraph.evaluation.studies import lift_plots, plots, rows
from mmgraph.evaluation.studies.analysis import Analysis, analyse
from mmgraph.evaluation.studies.graph_lift import (
    ALONE,
    CONDITIONS,
    DRAWN,
    LABELS,
    MEASURES,
    ORACLE,
    Lift,
    lifts,
    of_rows,
    verdict,
)
from mmgraph.evaluation.tables import number

NEEDS_NONE = "yardsticks"
"""The key under which a row holds what needs no training."""
RULE = (
    "A gain is how much better an endpoint is: more right answers, fewer bits for an answer, less denoising loss at "
    "fixed times and noise. Gains are paired by seed; one interval is over seeds (t), one resamples seeds and nodes. "
    "A side is helped only where both intervals of all its gains over the graph-blind arm and over rewired edges lie "
    "above zero. Nodes without edges cannot be helped: a gain there would be a leak."
)
DRAWINGS = (
    "Pictures drawn of held-out nodes with their neighbourhoods; they decide nothing above, for a few drawings of each "
    "run say less than the loss of all."
)


HOMOPHILY = (
    "Nodes by the share of their neighbours that are of their own class; the wider of both intervals. Little is said "
    "of a range in which few nodes lie."
)
ROBUSTNESS = (
    "The same models with a part of the edges taken away when they are scored, each part within the next; training had "
    "all edges. Fewer questions and pictures than above."
)


def lift_page(analysis: Analysis, found: Mapping[str, Mapping[str, float]]) -> str:
    """Return the page as Markdown with inline SVG.

    Args:
        analysis: Of the study.
        found: What `yardsticks` gave.
    """
    study = analysis.study
    parts = [f"# {study.name}", study.question, f"**{verdict(analysis)['verdict']}**"]
    parts.append(f"Budget {study.budget} a run, {len(study.seeds)} seeds.")
    parts += ["## Gains of real edges", _gains(lifts(analysis)), RULE]
    pictures = lifts(analysis, measures=(ORACLE, *DRAWN))
    if any(lift.mean is not None for lift in pictures):
        parts += ["## Drawings", _gains(pictures), DRAWINGS]
    alone = [arm.name for arm in study.arms if arm.name.startswith(ALONE) or arm.name.endswith("_only")]
    if alone:
        each = [(arm, lift) for arm in alone for lift in lifts(analysis, arm)]
        parts += ["## Each relation and modality alone, over the graph-blind arm", _alone(analysis, each)]
        parts += _figure(lift_plots.by_relation(analysis))
    homophily, robustness = lift_plots.against_homophily(analysis), lift_plots.robustness(analysis)
    if homophily:
        parts += ["## Against homophily", *_figure(homophily), HOMOPHILY]
    if robustness:
        parts += ["## With fewer edges", *_figure(robustness), ROBUSTNESS]
    parts += ["## Arms", _arms(analysis)]
    if found:
        parts += ["## What needs no training", _yardsticks(found)]
    for measure in MEASURES:
        figures = [*_figure(plots.intervals(analysis, measure)), *_figure(plots.differences(analysis, measure))]
        if figures:
            parts += [f"## {measure}", *figures]
    if analysis.notes:
        parts += ["## Notes", "\n".join(f"- {note}" for note in analysis.notes)]
    return "\n\n".join(parts) + "\n"


def write(analysis: Analysis, out: Path, found: Mapping[str, Mapping[str, float]]) -> None:
    """Write lift.md and lift.json into a study's folder."""
    told = {**verdict(analysis), "yardsticks": {name: dict(scores) for name, scores in found.items()}}
    files.write(out / "lift.json", json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    files.write(out / "lift.md", lift_page(analysis, found))


def committed_page(path: Path) -> str:
    """Return the page of a file of rows; what it says of arms that are not in there is that they were not run."""
    found = rows.read(path)
    study = of_rows(found)
    known = {arm.name for arm in study.arms}
    missing = [name for name in LABELS if name not in known]
    if not any(name.startswith(ALONE) for name in known):
        missing.append("each relation alone")
    page = lift_page(analyse(study, found), found[0].get(NEEDS_NONE) or {})
    return page + (f"\nArms that were not run: {', '.join(missing)}.\n" if missing else "")


def keep(path: Path, found: Mapping[str, Mapping[str, float]]) -> None:
    """Write beside the rows of a file what needs no training, so that its page can be made from the file alone."""
    told = {name: dict(scores) for name, scores in found.items()}
    rows.write(path, [{**row, NEEDS_NONE: told} for row in rows.read(path)])


def _figure(drawn: str) -> list[str]:
    return [f'<div class="study-figure">{drawn}</div>'] if drawn else []


def _gains(found: list[Lift]) -> str:
    head = ("Endpoint", "Over", "Gain", "Over seeds", "Over seeds and nodes")
    return _table(head, [(one.measure, one.minus, *_numbers(one)) for one in found])


def _alone(analysis: Analysis, each: list[tuple[str, Lift]]) -> str:
    head = ("Arm", "Endpoint", "Gain", "Over seeds", "Over seeds and nodes")
    return _table(head, [(analysis.study.arm(arm).title, one.measure, *_numbers(one)) for arm, one in each])


def _arms(analysis: Analysis) -> str:
    """Return the mean of each arm in each measure."""
    means = {(one.arm, one.measure): one.mean for one in analysis.summaries}
    told = [measure for measure in analysis.measures if measure not in CONDITIONS]
    short = (measure.removeprefix("graph.").removeprefix("generation.unseen.") for measure in told)
    head = ("Arm", *short)
    lines = []
    for arm in analysis.study.arms:
        values = [means.get((arm.name, measure)) for measure in told]
        lines.append((arm.title, *("–" if value is None else number(value) for value in values)))
    return _table(head, lines)


def _yardsticks(found: Mapping[str, Mapping[str, float]]) -> str:
    names = list(dict.fromkeys(name for scores in found.values() for name in scores))
    lines = [(kind, *(number(scores[n]) if n in scores else "–" for n in names)) for kind, scores in found.items()]
    return _table(("Yardstick", *(name.replace("_", " ") for name in names)), lines)


def _numbers(one: Lift) -> tuple[str, str, str]:
    return (number(one.mean) if one.mean is not None else "not run", _ends(one.seeds), _ends(one.items))


def _ends(ends: Interval | None) -> str:
    return f"[{number(ends[0])}, {number(ends[1])}]" if ends else "–"


def _table(head: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    top = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join([*top, *("| " + " | ".join(line) + " |" for line in lines)])
