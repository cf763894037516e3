"""What a study is: arms, seeds, budget, factors, measures and contrasts, and the cells that follow from them."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mmgraph import recipes
from mmgraph.budgets import Budget
from mmgraph.errors import UsageError, nearest

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


@dataclass(frozen=True)
class Arm:
    """One thing that is compared.

    Args:
        name: Its name, also that of its folder.
        sources: Recipes and configuration files, stacked in order.
        overrides: What is changed in them: `model.init_args.depth: 6`.
        label: Its name in tables and plots; the name if empty.
        baseline: Whether the others are compared with it where no contrast says otherwise.
        evaluate: Options of the evaluation, over those of the study.
    """

    name: str
    sources: tuple[str, ...]
    overrides: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    baseline: bool = False
    evaluate: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What tables call it."""
        return self.label or self.name


@dataclass(frozen=True)
class Factor:
    """Something that is varied in every arm.

    Args:
        name: Its name.
        levels: Level -> what it changes in the configuration.
    """

    name: str
    levels: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Contrast:
    """One arm minus another.

    Args:
        arm: The first.
        minus: The second.
        primary: Whether this is the one that the study was made for.
        measure: Of a primary contrast, the measure that decides; the study's first if empty.
        at: Factor -> level, where only one is meant.
    """

    arm: str
    minus: str
    primary: bool = False
    measure: str = ""
    at: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What tables call it."""
        at = ", ".join(f"{name} {level}" for name, level in self.at.items())
        return f"{self.arm} − {self.minus}" + (f" at {at}" if at else "")


@dataclass(frozen=True)
class Cell:
    """One arm at one level of each factor, with one seed: one run."""

    arm: str
    levels: tuple[tuple[str, str], ...]
    seed: int

    @property
    def key(self) -> tuple[Any, ...]:
        """What rows are told apart by."""
        return self.arm, self.levels, self.seed

    @property
    def title(self) -> str:
        """What messages call it."""
        levels = "".join(f", {name} {level}" for name, level in self.levels)
        return f"{self.arm}{levels}, seed {self.seed}"


@dataclass(frozen=True)
class Study:
    """A plan: everything that is decided before anything is run.

    Args:
        name: Its name, also that of its files.
        arms: What is compared.
        seeds: Every arm runs with each of them: weights, stream and noise are paired by seed.
        budget: Of every run.
        question: What is to be found out, in a sentence.
        factors: What is varied in every arm, all combinations.
        measures: Paths into metrics.json, the primary one first; none: every headline number.
        optional: Those of the measures that no run needs to have; any other one that none has is refused.
        contrasts: Which differences are tested; none: each arm minus the baseline.
        front: Two of the measures that trade against each other: the page draws one against the other.
        evaluate: Options of the evaluation: split, limit, guidance, steps, seed.
        threads: Threads of every run, so that CPU seconds mean the same in each.
        results: A file beside the sources to which rows are copied.
    """

    name: str
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    budget: Budget
    question: str = ""
    factors: tuple[Factor, ...] = ()
    measures: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    contrasts: tuple[Contrast, ...] = ()
    front: tuple[str, ...] = ()
    evaluate: Mapping[str, Any] = field(default_factory=dict)
    threads: int = 1
    results: Path | None = None

    def __post_init__(self) -> None:
        """Check what the parts say about each other.

        Raises:
            UsageError: Naming what does not fit.
        """
        names = [arm.name for arm in self.arms]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UsageError(f"study '{self.name}' has two arms '{twice[0]}'; give each a name of its own.")
        if not names or not self.seeds:
            raise UsageError(f"study '{self.name}' needs at least one arm and one seed.")
        for name in (self.name, *names, *(level for factor in self.factors for level in factor.levels)):
            if not NAME.fullmatch(name):
                raise UsageError(f"'{name}' cannot name a folder: use letters, digits and _ . + - only.")
        if sum(arm.baseline for arm in self.arms) > 1:
            raise UsageError(f"study '{self.name}' has two baselines; one arm can be it.")
        for contrast in self.contrasts:
            for name in (contrast.arm, contrast.minus):
                if name not in names:
                    raise UsageError(f"a contrast names the arm '{name}'. {nearest(name, names)}")
            self._check_levels(contrast.at)
            if contrast.measure and contrast.measure not in self.measures:
                known = nearest(contrast.measure, self.measures)
                raise UsageError(f"contrast '{contrast.title}' names the measure '{contrast.measure}'. {known}")
        if self.front and (len(self.front) != 2 or not set(self.front) <= set(self.measures)):
            raise UsageError(f"study '{self.name}' needs two of its measures in front, not {list(self.front)}.")
        if sum(contrast.primary for contrast in self.contrasts) > 1:
            raise UsageError(f"study '{self.name}' has two primary contrasts; the others are secondary.")

    def _check_levels(self, at: Mapping[str, str]) -> None:
        factors = {factor.name: factor for factor in self.factors}
        for name, level in at.items():
            if name not in factors:
                raise UsageError(f"a contrast names the factor '{name}'. {nearest(name, factors)}")
            if level not in factors[name].levels:
                raise UsageError(f"a contrast names the level '{level}'. {nearest(level, factors[name].levels)}")

    @property
    def baseline(self) -> Arm:
        """The arm that others are compared with: the one that says so, else the first."""
        return next((arm for arm in self.arms if arm.baseline), self.arms[0])

    def tested(self) -> tuple[Contrast, ...]:
        """Return the contrasts, the first of them primary where none says so."""
        found = list(self.contrasts) or [
            Contrast(arm.name, self.baseline.name) for arm in self.arms if arm.name != self.baseline.name
        ]
        if found and not any(contrast.primary for contrast in found):
            first = found[0]
            found[0] = Contrast(first.arm, first.minus, True, first.measure, first.at)
        return tuple(found)

    def arm(self, name: str) -> Arm:
        """Return the arm of this name."""
        return next(arm for arm in self.arms if arm.name == name)

    def combinations(self) -> list[tuple[tuple[str, str], ...]]:
        """Return every combination of levels; one, of none, where there are no factors."""
        choices = [[(factor.name, level) for level in factor.levels] for factor in self.factors]
        return list(itertools.product(*choices))

    def cells(self) -> list[Cell]:
        """Return the cells, seed by seed: what is stopped early has whole seeds, which are paired."""
        return [
            Cell(arm.name, levels, seed) for seed in self.seeds for levels in self.combinations() for arm in self.arms
        ]

    def overrides(self, cell: Cell) -> dict[str, Any]:
        """Return what a cell changes in its arm's configuration: factors after the arm."""
        changed = dict(self.arm(cell.arm).overrides)
        factors = {factor.name: factor for factor in self.factors}
        for name, level in cell.levels:
            changed.update(factors[name].levels[level])
        return changed

    def evaluation(self, cell: Cell) -> dict[str, Any]:
        """Return the options of a cell's evaluation."""
        return {**self.evaluate, **self.arm(cell.arm).evaluate}

    def folder(self, cell: Cell) -> Path:
        """Return a cell's run directory under the study's."""
        levels = ",".join(f"{name}={level}" for name, level in cell.levels)
        return Path(cell.arm, levels, str(cell.seed)) if levels else Path(cell.arm, str(cell.seed))

    def digest(self, cell: Cell) -> str:
        """Return what identifies how a cell is made: its files' values, changes, budget, evaluation, threads.

        Comments are no part of it: a recipe's header says what its runs reached, and is written after them. Neither is
        `trainer.max_steps`, in whose place the budget stands.
        """
        files = [_values(find(source).read_text(encoding="utf-8")) for source in self.arm(cell.arm).sources]
        plan = [files, self.overrides(cell), asdict(self.budget), self.evaluation(cell), self.threads]
        return hashlib.sha256(json.dumps(plan, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _values(text: str) -> Any:
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError:
        return text  # `fit` says what is wrong with it
    if isinstance(values, dict) and isinstance(values.get("trainer"), dict):
        values["trainer"].pop("max_steps", None)
    return values


def find(source: str) -> Path:
    """Return the file of a recipe's name or a path.

    Raises:
        UsageError: If there is neither.
    """
    path = Path(source)
    if path.suffix in (".yaml", ".yml") or path.parent != Path("."):
        if not path.is_file():
            raise UsageError(f"there is no configuration file {source}.")
        return path
    return recipes.find(source)
