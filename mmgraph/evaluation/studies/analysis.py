"""From rows to conclusions: each arm's mean over seeds, each contrast's paired difference, and a word for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from mmgraph.evaluation.statistics import Interval
from mmgraph.evaluation.studies import inference
from mmgraph.evaluation.studies.plan import Contrast, Study
from mmgraph.evaluation.studies.rows import Row, unpack

Levels = tuple[tuple[str, str], ...]

ALPHA = 0.05


@dataclass(frozen=True)
class Summary:
    """One measure of one arm over the seeds.

    Args:
        arm: Name of the arm.
        levels: Level of each factor.
        measure: Path of the measure.
        values: Seed -> value.
        planned: How many seeds the study has.
        chance: What guessing gives, where known.
        better: `higher`, `lower`, `one` or `none`.
    """

    arm: str
    levels: Levels
    measure: str
    values: Mapping[int, float]
    planned: int
    chance: float | None = None
    better: str = "none"

    @property
    def mean(self) -> float | None:
        """Mean over seeds; None where nothing was run or measured."""
        return sum(self.values.values()) / len(self.values) if self.values else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation over seeds; None below two."""
        return inference.spread(list(self.values.values())) if len(self.values) > 1 else None

    @property
    def interval(self) -> Interval | None:
        """The t interval over seeds; None below two."""
        return inference.t_interval(list(self.values.values()))


@dataclass(frozen=True)
class Comparison:
    """One contrast in one measure, paired by seed.

    Args:
        contrast: Which arms.
        levels: At which level of each factor; None: the mean over all levels.
        measure: Path of the measure.
        differences: Seed -> difference.
        interval: t interval over seeds.
        bootstrap: Bootstrap interval over seeds and items, where both arms met the same items.
        p: Of the paired t test.
        p_flips: Of all sign flips.
        p_holm: p after Holm's correction over the secondary contrasts; None for the primary one.
        primary: Whether the study was made for it.
        verdict: `higher`, `lower`, `no difference shown`, or why there is none.
    """

    contrast: Contrast
    levels: Levels | None
    measure: str
    differences: Mapping[int, float]
    interval: Interval | None
    bootstrap: Interval | None
    p: float | None
    p_flips: float | None
    p_holm: float | None = None
    primary: bool = False
    verdict: str = "not run"

    @property
    def mean(self) -> float | None:
        """Mean difference."""
        return sum(self.differences.values()) / len(self.differences) if self.differences else None


@dataclass(frozen=True)
class Analysis:
    """All that a study says.

    Args:
        study: The plan.
        rows: One of each cell that was run.
        measures: In the study's order, or all that rows have.
        summaries: One of each arm, combination of levels and measure.
        comparisons: The primary one first.
        notes: What a reader must know: cells that failed or are missing, samples that were not paired.
    """

    study: Study
    rows: Sequence[Row]
    measures: tuple[str, ...]
    summaries: tuple[Summary, ...]
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...]

    def of(self, measure: str) -> list[Summary]:
        """Return the summaries of a measure."""
        return [summary for summary in self.summaries if summary.measure == measure]


def analyse(study: Study, rows: Sequence[Row]) -> Analysis:
    """Return what the rows of a study say; rows of cells that it does not have are left out."""
    planned = {cell.key: cell for cell in study.cells()}
    table = {_key(row): row for row in rows if _key(row) in planned}
    done = {key: row for key, row in table.items() if row["status"] == "done"}
    found = list(dict.fromkeys(path for row in done.values() for path in row["measures"]))
    measures = study.measures or tuple(found)
    summaries = tuple(
        _summary(study, done, arm.name, levels, measure)
        for measure in measures
        for levels in study.combinations()
        for arm in study.arms
    )
    comparisons = [
        _compare(study, done, contrast, levels, measure)
        for contrast in study.tested()
        for measure in measures
        for levels in _level_sets(study, contrast)
    ]
    notes = _notes(study, table)
    return Analysis(
        study, list(table.values()), measures, summaries, tuple(_judge(study, comparisons, measures)), notes
    )


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["arm"], tuple((str(name), str(level)) for name, level in row["factors"].items()), row["seed"]


def _value(row: Row | None, measure: str) -> float | None:
    found = row["measures"].get(measure) if row else None
    return float(found["value"]) if found and found.get("value") is not None else None


def _summary(study: Study, done: Mapping[Any, Row], arm: str, levels: Levels, measure: str) -> Summary:
    rows = {seed: done.get((arm, levels, seed)) for seed in study.seeds}
    values = {seed: value for seed, row in rows.items() if (value := _value(row, measure)) is not None}
    told = [row["measures"][measure] for seed, row in rows.items() if row and seed in values]
    chance = told[0].get("chance") if told else None
    return Summary(arm, levels, measure, values, len(study.seeds), chance, told[0]["better"] if told else "none")


def _level_sets(study: Study, contrast: Contrast) -> list[Levels | None]:
    """Return where a contrast is tested: at each combination of levels, and averaged over them first."""
    fitting = [levels for levels in study.combinations() if contrast.at.items() <= dict(levels).items()]
    return [None, *fitting] if len(fitting) > 1 else list(fitting)


def _compare(
    study: Study, done: Mapping[Any, Row], contrast: Contrast, levels: Levels | None, measure: str
) -> Comparison:
    places = [one for one in _level_sets(study, contrast) if one is not None] if levels is None else [levels]
    pairs: dict[int, list[tuple[Row, Row]]] = {}
    for seed in study.seeds:
        both = [(done.get((contrast.arm, at, seed)), done.get((contrast.minus, at, seed))) for at in places]
        whole = [(a, b) for a, b in both if a and b and None not in (_value(a, measure), _value(b, measure))]
        if len(whole) == len(places):
            pairs[seed] = whole
    differences = {
        seed: sum((_value(a, measure) or 0.0) - (_value(b, measure) or 0.0) for a, b in found) / len(found)
        for seed, found in pairs.items()
    }
    values = list(differences.values())
    return Comparison(
        contrast,
        levels,
        measure,
        differences,
        inference.t_interval(values),
        _bootstrap(pairs, measure),
        inference.t_test(values),
        inference.sign_flips(values),
    )


def _bootstrap(pairs: Mapping[int, Sequence[tuple[Row, Row]]], measure: str) -> Interval | None:
    """Return the interval over seeds and items; None unless every run met the same items."""
    matrix, clusters, digests = [], None, set()
    for found in pairs.values():
        rows = []
        for a, b in found:
            if measure not in a.get("items", {}) or measure not in b.get("items", {}):
                return None
            left, right = unpack(a["items"][measure]), unpack(b["items"][measure])
            digests |= {left["digest"], right["digest"]}
            rows.append(torch.tensor(left["values"]) - torch.tensor(right["values"]) if len(digests) == 1 else None)
            clusters = left["clusters"]
        if len(digests) != 1:
            return None
        matrix.append(torch.stack([row for row in rows if row is not None]).mean(0))
    if len(matrix) < 2 or not clusters:
        return None
    return inference.crossed_interval(torch.stack(matrix), clusters)


def _judge(study: Study, comparisons: Sequence[Comparison], measures: Sequence[str]) -> list[Comparison]:
    """Return the comparisons with verdicts; the primary one first, the others corrected for their number."""
    judged = []
    for place, comparison in enumerate(comparisons):
        wanted = comparison.contrast.measure or (measures[0] if measures else "")
        first = not any(
            other.contrast == comparison.contrast and other.measure == wanted for other in comparisons[:place]
        )
        primary = comparison.contrast.primary and comparison.measure == wanted and first
        judged.append(replace(comparison, primary=primary))
    secondary = [comparison for comparison in judged if not comparison.primary]
    adjusted = inference.holm([comparison.p for comparison in secondary])
    secondary = [replace(one, p_holm=p) for one, p in zip(secondary, adjusted, strict=True)]
    ordered = [comparison for comparison in judged if comparison.primary] + secondary
    return [replace(one, verdict=verdict(one)) for one in ordered]


def verdict(comparison: Comparison) -> str:
    """Return the word for a difference.

    `higher` and `lower` need every interval on one side of zero: over seeds, and over seeds and items where there
    are items; a secondary contrast needs its corrected p as well.
    """
    if not comparison.differences:
        return "not run"
    if comparison.interval is None:
        return "one seed, no interval"
    bounds = [ends for ends in (comparison.interval, comparison.bootstrap) if ends is not None]
    side = "higher" if all(low > 0 for low, _ in bounds) else "lower" if all(high < 0 for _, high in bounds) else ""
    tested = comparison.p_flips if comparison.p is None else comparison.p  # differences all alike: no t
    if not comparison.primary:
        tested = comparison.p_holm if comparison.p is not None else comparison.p_flips
    return side if side and tested is not None and tested <= ALPHA else "no difference shown"


def _notes(study: Study, table: Mapping[Any, Row]) -> tuple[str, ...]:
    notes = []
    for cell in study.cells():
        row = table.get(cell.key)
        if row is None:
            notes.append(f"{cell.title}: not run.")
        elif row["status"] != "done":
            notes.append(f"{cell.title}: failed: {row['message']}")
    for seed in study.seeds:
        streams = {
            row["training"].get("stream")
            for key, row in table.items()
            if key[2] == seed and row["status"] == "done" and row["training"].get("stream")
        }
        if len(streams) > 1:
            notes.append(
                f"Seed {seed}: runs did not read the same first batch (other data, tasks or batch size), so their "
                "samples are not paired."
            )
    threads = {row["hardware"]["threads"] for row in table.values() if row["status"] == "done"}
    machines = {row["hardware"]["cpu"] for row in table.values() if row["status"] == "done"}
    if len(threads) > 1 or len(machines) > 1:
        notes.append(
            f"Runs used different machines or threads ({', '.join(sorted(machines))}; {sorted(threads)} threads)."
        )
    return tuple(notes)
