"""Study files: YAML in, `Study` out, and a message that names the key for whatever does not fit."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from mmgraph import budgets
from mmgraph.errors import UsageError, nearest
from mmgraph.evaluation.studies.plan import Arm, Contrast, Factor, Study, find

KEYS = (
    *("name", "question", "arms", "seeds", "budget", "factors", "measures", "contrasts", "front"),
    *("evaluate", "threads", "results"),
)
ARM_KEYS = ("recipe", "config", "set", "label", "baseline", "evaluate")
CONTRAST_KEYS = ("arm", "minus", "primary", "measure", "at")
FACTOR_KEYS = ("key", "values", "levels")
EVALUATE_KEYS = ("split", "limit", "guidance", "steps", "seed")


def read(path: Path, **changes: Any) -> Study:
    """Return the study of a file; `changes` replace keys of it, as the command line gives them.

    Raises:
        UsageError: If the file is missing, no YAML, or has a key or a value that does not fit.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"there is no study file {path}.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path} holds no study: expected keys such as arms, seeds and budget.")
    return parse({"name": path.stem, **values, **changes}, path.parent, str(path))


def parse(values: Mapping[str, Any], folder: Path, where: str) -> Study:
    """Return the study that plain values say; paths are relative to `folder`."""
    _known(values, KEYS, where)
    for key in ("arms", "seeds", "budget"):
        if key not in values:
            raise UsageError(f"{where} has no '{key}'.")
    arms = tuple(_arm(name, arm, folder, f"{where}: arm '{name}'") for name, arm in _mapping(values, "arms", where))
    factors = tuple(
        _factor(str(name), factor, f"{where}: factor '{name}'") for name, factor in _mapping(values, "factors", where)
    )
    contrasts = tuple(_contrast(item, where) for item in values.get("contrasts") or ())
    evaluate = dict(values.get("evaluate") or {})
    _known(evaluate, EVALUATE_KEYS, f"{where}: evaluate")
    threads = values.get("threads", 1)
    if not isinstance(threads, int) or threads < 1:
        raise UsageError(f"{where}: threads must be 1 or more, not {threads!r}.")
    results = values.get("results")
    return Study(
        name=str(values["name"]),
        arms=arms,
        seeds=seeds(values["seeds"], where),
        budget=budgets.parse(values["budget"]),
        question=" ".join(str(values.get("question") or "").split()),
        factors=factors,
        measures=tuple(str(measure) for measure in values.get("measures") or ()),
        contrasts=contrasts,
        front=tuple(str(measure) for measure in values.get("front") or ()),
        evaluate=evaluate,
        threads=threads,
        results=folder / results if results else None,
    )


def seeds(value: Any, where: str) -> tuple[int, ...]:
    """Return the seeds that `5` (0 to 4), `[0, 3]` or `0,3` say.

    Raises:
        UsageError: If they are not different whole numbers from 0.
    """
    try:
        if isinstance(value, str):
            value = [int(part) for part in value.split(",")] if "," in value else int(value)
        found = tuple(range(value)) if isinstance(value, int) else tuple(int(part) for part in value)
    except (TypeError, ValueError):
        found = ()
    if not found or min(found) < 0 or len(set(found)) < len(found):
        raise UsageError(f"{where}: seeds are a number (5: seeds 0 to 4) or a list of different ones, not {value!r}.")
    return found


def short(names: Iterable[str], **values: Any) -> Study:
    """Return the study of `mmgraph compare A B ...`: the first is the baseline.

    Args:
        names: Recipes and configuration files; the same one twice is told apart by a number.
        values: What else a study file may say.
    """
    arms: dict[str, Any] = {}
    for source in names:
        stem = Path(source).stem if source.endswith((".yaml", ".yml")) else source
        number = 1 + sum(arm["stem"] == stem for arm in arms.values())
        kind = "config" if stem != source else "recipe"
        arms[stem if number == 1 else f"{stem}-{number}"] = {kind: source, "stem": stem, "baseline": not arms}
    for arm in arms.values():
        del arm["stem"]
    given = {key: value for key, value in values.items() if value is not None}
    return parse({"name": "_".join(arms)[:60], "arms": arms, **given}, Path("."), "the command line")


def _arm(name: str, value: Any, folder: Path, where: str) -> Arm:
    value = {"recipe": value} if isinstance(value, str) else value
    if not isinstance(value, dict):
        raise UsageError(f"{where} must be a recipe's name or a mapping, not {value!r}.")
    _known(value, ARM_KEYS, where)
    configs = value.get("config") or []
    configs = [configs] if isinstance(configs, str) else configs
    recipe = [str(value["recipe"])] if value.get("recipe") else []
    sources = (*recipe, *(os.path.normpath(folder / config) for config in configs))
    if not sources:
        raise UsageError(f"{where} names neither a recipe nor a config.")
    for source in sources:
        find(source)
    evaluate = dict(value.get("evaluate") or {})
    _known(evaluate, EVALUATE_KEYS, f"{where}: evaluate")
    baseline = value.get("baseline", False)
    return Arm(
        str(name), sources, _overrides(value.get("set"), where), str(value.get("label") or ""), baseline, evaluate
    )


def _factor(name: str, value: Any, where: str) -> Factor:
    """Return a factor: `{key: K, values: [...]}`, `K: [...]` with K a key, or `{levels: {level: {K: value}}}`."""
    if isinstance(value, list):
        value = {"key": name, "values": value}
        name = name.split(".")[-1]
    if not isinstance(value, dict):
        raise UsageError(f"{where} must be a list of values, or have 'key' and 'values', or 'levels'.")
    _known(value, FACTOR_KEYS, where)
    if value.get("levels"):
        return Factor(name, {str(level): _overrides(changes, where) for level, changes in value["levels"].items()})
    if not value.get("key") or not isinstance(value.get("values"), list) or not value["values"]:
        raise UsageError(f"{where} needs 'key' and a list of 'values', or 'levels'.")
    return Factor(name, {str(level): {str(value["key"]): level} for level in value["values"]})


def _contrast(value: Any, where: str) -> Contrast:
    if not isinstance(value, dict):
        raise UsageError(f"{where}: a contrast is {{arm: A, minus: B}}, not {value!r}.")
    _known(value, CONTRAST_KEYS, f"{where}: contrast")
    if not value.get("arm") or not value.get("minus"):
        raise UsageError(f"{where}: a contrast needs 'arm' and 'minus'; got {value}.")
    at = {str(name): str(level) for name, level in (value.get("at") or {}).items()}
    measure = str(value.get("measure") or "")
    return Contrast(str(value["arm"]), str(value["minus"]), bool(value.get("primary")), measure, at)


def _overrides(value: Any, where: str) -> dict[str, Any]:
    """Return dotted keys: `model.init_args.depth: 6`.

    Raises:
        UsageError: If a key is one that the study itself decides.
    """
    if value is not None and not isinstance(value, dict):
        raise UsageError(f"{where}: what is set must be keys and values, not {value!r}.")
    for key in value or {}:
        if key.startswith(("seed", "trainer.max_", "run")) or key.endswith("init_args.seed"):
            raise UsageError(f"{where} sets '{key}', which the study decides by its seeds and budget.")
    return dict(value or {})


def _mapping(values: Mapping[str, Any], key: str, where: str) -> Iterable[tuple[str, Any]]:
    found = values.get(key) or {}
    if not isinstance(found, dict):
        raise UsageError(f"{where}: '{key}' must map names to what they are, not be {type(found).__name__}.")
    return found.items()


def _known(values: Mapping[str, Any], keys: Iterable[str], where: str) -> None:
    for key in values:
        if key not in keys:
            raise UsageError(f"{where} has the unknown key '{key}'. {nearest(str(key), keys)}")
