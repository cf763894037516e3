"""Graph lift: what the edges of a graph are worth to one model, in answers and in pictures at once.

Each arm is the recipe with one thing taken away from the graph or changed in it. "Helps both" is claimed only where
real edges beat a graph-blind arm of equal parameters and tokens, and rewired edges, on both sides: rewired edges do
harm themselves, so that the second contrast alone would flatter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mmgraph.budgets import Budget, parse
from mmgraph.configured import instantiate
from mmgraph.datasets import Dataset
from mmgraph.errors import UsageError, nearest
from mmgraph.evaluation.node_conditions import RANGES, REMOVED
from mmgraph.evaluation.nodes import graph_of
from mmgraph.evaluation.statistics import Interval
from mmgraph.evaluation.studies.analysis import Analysis, Comparison
from mmgraph.evaluation.studies.plan import Arm, Contrast, Study, find
from mmgraph.evaluation.studies.rows import Row

PART = "model.init_args.graph"
MEASURES = ("graph.accuracy", "graph.bits", "graph.denoising")
SIDES = {"understanding": ("graph.accuracy", "graph.bits"), "generation": ("graph.denoising",)}
"""The endpoints of each side; all of a side's must gain."""
BESIDE = tuple(f"graph.{group}.{name}" for group in ("isolated", "dropped") for name in ("accuracy", "denoising"))
CONDITIONS = tuple(
    f"graph.{group}.{name}"
    for group in (*(f"alike.{share}" for share in RANGES), *(f"removed.{percent}" for percent in REMOVED))
    for name in ("accuracy", "denoising")
)
"""Nodes by how alike their neighbours are, and all of them with fewer edges; for the plots."""
AGAINST = ("mlp", "rewired")
"""The arms that real edges must beat."""
DRAWN = ("generation.unseen.recall_at_10", "generation.unseen.kid")
ORACLE = "generation.unseen.oracle_all"
"""Of drawings, beside the endpoints; the oracle's where the data set can tell what a picture shows."""
QUESTION = "Do the edges help to answer about a node, and to draw it?"
ALONE = "only_"
"""What the names of arms with one relation begin with."""
LABELS = {
    "none": "no graph",
    "mlp": "graph-blind, as many parameters and tokens",
    "real": "real edges",
    "rewired": "rewired, degrees and relations kept",
    "same_class": "random neighbours of the same class",
    "permuted": "real edges, contents of neighbours permuted",
    "text_only": "texts of nodes only",
    "image_only": "pictures of nodes only",
}


def plan(
    source: str,
    *,
    seeds: Sequence[int],
    budget: Budget,
    arms: Sequence[str] | None = None,
    limit: int | None = None,
    results: Path | None = None,
) -> tuple[Study, Dataset]:
    """Return the study of a recipe whose model reads a graph, and its data set.

    Args:
        source: A recipe's name or a configuration file.
        seeds: Every arm runs with each.
        budget: Of every run.
        arms: Which arms; `real`, `mlp` and `rewired` are always among them. None: all.
        limit: At most so many questions and pictures in an evaluation.
        results: A file to which rows are copied.

    Raises:
        UsageError: If the recipe has no graph part, or an arm is unknown.
    """
    config = yaml.safe_load(find(source).read_text(encoding="utf-8"))
    part = ((config.get("model") or {}).get("init_args") or {}).get("graph")
    if not isinstance(part, dict):
        raise UsageError(f"{source} has no graph part ({PART}), so there is nothing to lift; take graph_transfusion.")
    dataset: Dataset = instantiate(config["data"])
    graph = graph_of(dataset)
    if graph is None:
        raise UsageError(f"the data set of {source}, {type(dataset).__name__}, has no graph.")
    changes = overrides(part, config["model"]["init_args"].get("condition_dropout") or {}, graph.relations)
    for name in arms or ():
        if name not in changes:
            raise UsageError(f"graph-lift has no arm '{name}'. {nearest(name, changes)}")
    chosen = [name for name in changes if arms is None or name in (*arms, "real", *AGAINST)]
    study = Study(
        name=f"graph-lift-{Path(source).stem}",
        arms=tuple(Arm(name, (source,), changes[name], _label(name), name == "mlp") for name in chosen),
        seeds=tuple(seeds),
        budget=budget,
        question=QUESTION,
        measures=(*MEASURES, *BESIDE, *CONDITIONS, *_of_drawings(dataset)),
        optional=(*BESIDE, *CONDITIONS),
        contrasts=_contrasts(chosen),
        evaluate={"limit": limit} if limit is not None else {},
        results=results,
    )
    return study, dataset


def of_rows(found: Sequence[Row]) -> Study:
    """Return the study that rows come from, as far as they tell: the arms and seeds that were run."""
    names = list(dict.fromkeys(row["arm"] for row in found))
    first = found[0]
    return Study(
        name=first["study"],
        arms=tuple(Arm(name, tuple(first["sources"]), {}, _label(name), name == "mlp") for name in names),
        seeds=tuple(sorted({row["seed"] for row in found})),
        budget=parse(first["budget"]),
        question=QUESTION,
        measures=tuple(dict.fromkeys(measure for row in found for measure in row.get("measures") or {})),
        contrasts=_contrasts(names),
        evaluate=first.get("evaluate", {}),
    )


def _of_drawings(dataset: Dataset) -> tuple[str, ...]:
    if dataset.tasks.get("draw", 0) <= 0:
        return ()
    return (ORACLE, *DRAWN) if type(dataset).check is not Dataset.check else DRAWN


def _label(name: str) -> str:
    return LABELS.get(name) or f"relation {name.removeprefix(ALONE)} alone"


def _contrasts(names: Sequence[str]) -> tuple[Contrast, ...]:
    """Return what is compared: real edges with every arm, and each relation or modality alone with the blind one."""
    others = [name for name in names if name not in ("real", *AGAINST)]
    alone = [name for name in others if name.startswith(ALONE) or name.endswith("_only")]
    pairs = [
        ("real", "mlp"),
        ("real", "rewired"),
        *(("real", name) for name in others if name not in alone),
        *((name, "mlp") for name in alone),
    ]
    there = [pair for pair in pairs if {*pair} <= {*names}]
    return tuple(Contrast(*pair, pair == pairs[0], MEASURES[0] if pair == pairs[0] else "") for pair in there)


def overrides(
    part: Mapping[str, Any], dropout: Mapping[str, float], relations: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return what each arm changes in the configuration.

    Args:
        part: The configuration of the graph part.
        dropout: The model's dropped conditions.
        relations: Names of the graph's relations.
    """

    def control(**changes: Any) -> dict[str, Any]:
        return {f"{PART}.init_args.control": {"class_path": "mmgraph.models.GraphControl", "init_args": changes}}

    encoder = (part.get("init_args") or {}).get("encoder")
    blind = control(contents="hidden")
    if encoder is not None:
        mlp = {"class_path": "mmgraph.graph_encoders.mlp", "init_args": {"match": encoder}}
        blind[f"{PART}.init_args.encoder"] = mlp
    kept = {names: share for names, share in dropout.items() if "graph" not in names.split("+")}
    found = {
        "none": {PART: None, "data.init_args.graph": False, "model.init_args.condition_dropout": kept},
        "mlp": blind,
        "real": {},
        "rewired": control(edges="rewired"),
        "same_class": control(edges="same_class"),
        "permuted": control(contents="permuted"),
        "text_only": control(modalities=["text"]),
        "image_only": control(modalities=["image"]),
    }
    if len(relations) > 1:
        found |= {f"{ALONE}{name}": control(relations=[name]) for name in relations}
    return found


@dataclass(frozen=True)
class Lift:
    """How much real edges gain over one arm in one endpoint; more is better, whichever way the endpoint counts.

    Args:
        measure: The endpoint.
        minus: The other arm.
        mean: Mean gain over seeds; None where nothing was run.
        seeds: Interval over seeds.
        items: Interval over seeds and nodes.
    """

    measure: str
    minus: str
    mean: float | None
    seeds: Interval | None
    items: Interval | None

    @property
    def low(self) -> float | None:
        """The lower of both intervals' lower ends; None where one is missing."""
        return min(self.seeds[0], self.items[0]) if self.seeds and self.items else None

    @property
    def gains(self) -> bool:
        """Whether the gain is above zero for sure."""
        return self.low is not None and self.low > 0


def lifts(analysis: Analysis, arm: str = "real", measures: Sequence[str] = MEASURES) -> list[Lift]:
    """Return the gains of an arm over each arm that it is contrasted with, in each endpoint or other measure."""
    better = {summary.measure: summary.better for summary in analysis.summaries if summary.values}
    return [
        _lift(one, better.get(one.measure, "none"))
        for one in analysis.comparisons
        if one.contrast.arm == arm and one.measure in measures
    ]


def _lift(one: Comparison, better: str) -> Lift:
    def turned(ends: Interval | None) -> Interval | None:
        return ends if ends is None or better == "higher" else (-ends[1], -ends[0])

    mean = one.mean if one.mean is None or better == "higher" else -one.mean
    return Lift(one.measure, one.contrast.minus, mean, turned(one.interval), turned(one.bootstrap))


def verdict(analysis: Analysis) -> dict[str, Any]:
    """Return what lift.json holds: for each side whether it gains over both arms, and whether both sides do."""
    found = lifts(analysis)
    sides = {}
    for side, measures in SIDES.items():
        own = [lift for lift in found if lift.measure in measures and lift.minus in AGAINST]
        sides[side] = bool(own) and all(lift.gains for lift in own)
    return {
        "helps": sides,
        "helps_both": all(sides.values()),
        "verdict": sentence(sides),
        "lifts": [
            {
                "measure": lift.measure,
                "over": lift.minus,
                "gain": lift.mean,
                "ci95_seeds": lift.seeds,
                "ci95_seeds_and_nodes": lift.items,
            }
            for lift in found
        ],
    }


def sentence(sides: Mapping[str, bool]) -> str:
    """Return the verdict in words."""
    sure = "the lower 95 % bounds of real edges minus the graph-blind arm and minus rewired edges are above zero"
    if all(sides.values()):
        return f"The graph helps both: {sure} for understanding and for generation."
    helped = [side for side, gains in sides.items() if gains]
    if helped:
        return f"The graph helps {helped[0]}: {sure} there, and not on the other side."
    return "No help is shown: on neither side are all lower 95 % bounds above zero."
