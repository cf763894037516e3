"""A study's page, from its rows alone: for the site as Markdown, for a run's folder as one HTML file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from mmgraph.budgets import parse as parse_budget
from mmgraph.evaluation.studies import plots, reading, rows
from mmgraph.evaluation.studies.analysis import Analysis, Comparison, Summary, analyse
from mmgraph.evaluation.studies.plan import Arm, Factor, Study
from mmgraph.evaluation.tables import number

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]
Section = tuple[str, Sequence[str | Table]]

METHOD = (
    "Intervals are 95 %. Those of an arm and of a difference are t intervals over seeds; a difference is paired by "
    "seed. Where both arms met the same items, a second interval resamples seeds and items. A difference is called "
    "higher or lower only where all of its intervals lie on one side of zero; secondary contrasts need Holm's "
    "corrected p below .05 as well. The exact sign-flip p cannot fall below 2 / 2ⁿ with n seeds."
)


def study_page(found: Sequence[rows.Row], study: Study | None = None) -> str:
    """Return a study's page as Markdown with inline SVG.

    Args:
        found: The study's rows.
        study: Its plan, from which the page knows what was not run and what is primary; without it the plan is
            what the rows show, the first arm being the baseline.
    """
    analysis = analyse(study or plan_of(found), found)
    study = analysis.study
    parts = [f"# {study.name.replace('_', ' ')}", study.question]
    parts += [f"Budget {study.budget} a run, {len(study.seeds)} seeds. {answer(analysis)}"]
    for title, content in _sections(analysis):
        parts += [f"## {title}", *(_figure(one) if isinstance(one, str) else _markdown(one) for one in content)]
    parts += ["## How it was made", METHOD, *_made(analysis)]
    if analysis.notes:
        parts += ["\n".join(f"- {note}" for note in analysis.notes)]
    return "\n\n".join(part for part in parts if part) + "\n"


def committed_page(path: Path) -> str:
    """Return the page of a committed study: its file, and the results that the file names."""
    study = reading.read(path)
    return study_page(rows.read(study.results) if study.results else [], study)


def _sections(analysis: Analysis) -> list[Section]:
    """Return titles with pictures and tables: what decides is drawn first, then tables, then all other measures."""
    deciding = {one.measure for one in analysis.comparisons if one.primary}
    first: list[Section] = []
    others: list[Section] = []
    for measure in analysis.measures:
        figures = [draw(analysis, measure) for draw in (plots.intervals, plots.differences, plots.factors)]
        (first if measure in deciding else others).append((measure, figures))
    curves: list[Section] = [
        ("What is traded", [plots.front(analysis)]),
        ("Learning curves", [plots.learning(analysis)]),
    ]
    compared = comparison_table(analysis)
    tables: list[Section] = [("Differences", [compared])] if compared[1] else []
    tables.append(("Arms", [arm_table(analysis)]))
    cost: Section = ("Cost", [cost_table(analysis)])
    found = [(title, [one for one in content if one]) for title, content in (*first, *curves, *tables, *others, cost)]
    return [(title, content) for title, content in found if content]


def html_page(analysis: Analysis) -> str:
    """Return the report of a study as one HTML file that opens offline."""
    study = analysis.study
    body = [f"<header><h1>{escape(study.name)}</h1>"]
    body += [f'<p class="lead">{escape(study.question)}</p>' if study.question else ""]
    body += [f"<p>Budget {study.budget} a run, {len(study.seeds)} seeds. {escape(answer(analysis))}</p></header>"]

    def section(title: str, *content: str) -> None:
        body.append(f"<section><h2>{escape(title)}</h2>{''.join(content)}</section>")

    for title, content in _sections(analysis):
        section(title, *(f'<div class="curves">{one}</div>' if isinstance(one, str) else _html(one) for one in content))
    notes = "".join(f"<li>{escape(note)}</li>" for note in analysis.notes)
    section(
        "How it was made",
        f"<p>{METHOD}</p>",
        *(f"<p>{escape(line)}</p>" for line in _made(analysis)),
        f"<ul>{notes}</ul>",
    )
    css = resources.files("mmgraph.evaluation").joinpath("report.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>mmgraph: {escape(study.name)}</title>\n<style>\n{css}</style>\n</head>\n"
        f"<body>\n{''.join(body)}\n</body>\n</html>\n"
    )


def summary(analysis: Analysis) -> dict[str, Any]:
    """Return what study.json holds."""
    return {
        "study": analysis.study.name,
        "question": analysis.study.question,
        "budget": str(analysis.study.budget),
        "seeds": list(analysis.study.seeds),
        "measures": list(analysis.measures),
        "arms": [
            {
                "arm": one.arm,
                "factors": dict(one.levels),
                "measure": one.measure,
                "mean": one.mean,
                "sd": one.deviation,
                "ci95": one.interval,
                "seeds": {str(seed): value for seed, value in one.values.items()},
                "chance": one.chance,
            }
            for one in analysis.summaries
        ],
        "contrasts": [
            {
                "arm": one.contrast.arm,
                "minus": one.contrast.minus,
                "factors": dict(one.levels) if one.levels is not None else None,
                "measure": one.measure,
                "primary": one.primary,
                "difference": one.mean,
                "ci95": one.interval,
                "ci95_items": one.bootstrap,
                "p": one.p,
                "p_sign_flips": one.p_flips,
                "p_holm": one.p_holm,
                "seeds": {str(seed): value for seed, value in one.differences.items()},
                "verdict": one.verdict,
            }
            for one in analysis.comparisons
        ],
        "notes": list(analysis.notes),
    }


def arm_table(analysis: Analysis) -> Table:
    """Return mean, spread, interval and seeds of each arm in each measure; `not run` where there is none."""
    factors = [factor.name for factor in analysis.study.factors]
    head = ("Measure", "Arm", *factors, "Mean", "SD", "95 % interval", "Seeds", "Chance")
    ran = {(row["arm"], tuple(row["factors"].items())) for row in analysis.rows if row["status"] == "done"}
    table = []
    for one in analysis.summaries or _without_measures(analysis):
        mean = number(one.mean) if one.mean is not None else "not run"
        if one.mean is None and (one.arm, one.levels) in ran:
            mean = "not measured"
        table.append(
            (
                one.measure,
                analysis.study.arm(one.arm).title,
                *(level for _, level in one.levels),
                mean,
                number(one.deviation),
                _ends(one.interval),
                f"{len(one.values)} of {one.planned}",
                number(one.chance),
            )
        )
    return head, table


def _without_measures(analysis: Analysis) -> tuple[Summary, ...]:
    """Return what stands for the summaries of a study that measures what it finds, and has found nothing yet."""
    study = analysis.study
    cells = [(arm.name, levels) for levels in study.combinations() for arm in study.arms]
    return tuple(Summary(arm, levels, "any", {}, len(study.seeds)) for arm, levels in cells)


def comparison_table(analysis: Analysis) -> Table:
    """Return each contrast's difference, verdict, intervals and p values; the primary one first and marked."""
    head = ("Contrast", "Measure", "Difference", "Verdict", "Over seeds", "Seeds and items", "p", "p, flips", "p, Holm")
    return head, [
        (
            plots.title(one) + (" (primary)" if one.primary else ""),
            one.measure,
            number(one.mean) if one.mean is not None else "not run",
            one.verdict,
            _ends(one.interval),
            _ends(one.bootstrap),
            *(_probability(p) for p in (one.p, one.p_flips, one.p_holm)),
        )
        for one in analysis.comparisons
    ]


def cost_table(analysis: Analysis) -> Table:
    """Return what runs of each arm took, on average over seeds."""
    names = {
        "steps": "Steps",
        "cpu_seconds": "CPU seconds",
        "samples_per_second": "Samples/s",
        "parameters": "Parameters",
        "visual_tokens": "Visual tokens",
        "peak_memory_mb": "Peak memory, MB",
    }
    head = ("Arm", *(factor.name for factor in analysis.study.factors), "Runs", *names.values())
    table = []
    for levels in analysis.study.combinations():
        for arm in analysis.study.arms:
            own = [row for row in analysis.rows if (row["arm"], row["factors"]) == (arm.name, dict(levels))]
            own = [row for row in own if row["status"] == "done"]
            cells = [arm.title, *(level for _, level in levels), str(len(own)) if own else "not run"]
            for name in names:
                values = [row["training"][name] for row in own if row["training"].get(name) is not None]
                cells.append(number(sum(values) / len(values)) if values else "–")
            table.append(tuple(cells))
    return head, table


def plan_of(found: Sequence[rows.Row]) -> Study:
    """Return the plan that rows show."""
    arms = dict.fromkeys(row["arm"] for row in found)
    levels: dict[str, dict[str, dict[str, Any]]] = {}
    for row in found:
        for name, level in row["factors"].items():
            levels.setdefault(name, {})[str(level)] = {}
    first = found[0]
    return Study(
        first["study"],
        tuple(Arm(name, ()) for name in arms),
        tuple(dict.fromkeys(row["seed"] for row in found)),
        parse_budget(first["budget"]),
        factors=tuple(Factor(name, known) for name, known in levels.items()),
    )


def answer(analysis: Analysis) -> str:
    """Return the primary result in words."""
    primary: Comparison | None = next((one for one in analysis.comparisons if one.primary), None)
    if primary is None:
        return ""
    if primary.mean is None:
        return f"Primary contrast, {plots.title(primary)} in {primary.measure}: not run."
    ends = f" {_ends(primary.interval)}" if primary.interval else ""
    return (
        f"Primary contrast, {plots.title(primary)} in {primary.measure}: {number(primary.mean)}{ends} over "
        f"{len(primary.differences)} seed{'s' if len(primary.differences) > 1 else ''}: {primary.verdict}."
    )


def _made(analysis: Analysis) -> list[str]:
    done = [row for row in analysis.rows if row["status"] == "done"]
    if not done:
        return []
    machines = sorted({f"{row['hardware']['cpu']}, {row['hardware']['threads']} threads" for row in done})
    versions = sorted({f"mmgraph {row['versions']['mmgraph']}, torch {row['versions']['torch']}" for row in done})
    dates = sorted(row["date"][:10] for row in done)
    commits = sorted({_commit(row["commit"]) for row in done})
    when = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    return [f"{len(done)} runs, {when}; {'; '.join(machines)}; {'; '.join(versions)}; {'; '.join(commits)}."]


def _commit(commit: dict[str, Any] | None) -> str:
    if commit is None:
        return "no revision recorded"
    return f"revision {commit['revision'][:9]}" + (" with changes" if commit["dirty"] else "")


def _ends(ends: Sequence[float] | None) -> str:
    return f"[{number(ends[0])}, {number(ends[1])}]" if ends else "–"


def _probability(p: float | None) -> str:
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _markdown(table: Table) -> str:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    head, body = table
    return "\n".join([line(head), "|" + " --- |" * len(head), *(line(row) for row in body)])


def _html(table: Table) -> str:
    head, body = table
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in body)
    table_text = f"<table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table>"
    return f'<div class="scroll" tabindex="0">{table_text}</div>'


def _figure(svg: str) -> str:
    return f'<div class="study-figure">{svg}</div>'


def write(analysis: Analysis, out: Path) -> None:
    """Write study.json, report.html and report.md into a study's folder."""
    from mmgraph.evaluation import files

    text = json.dumps(summary(analysis), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    files.write(out / "study.json", text)
    files.write(out / "report.html", html_page(analysis))
    files.write(out / "report.md", study_page(analysis.rows, analysis.study))
