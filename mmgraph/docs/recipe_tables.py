"""Tables of what committed runs of recipes reached: one recipe by itself, and all side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from mmgraph.docs import committed
from mmgraph.docs.committed import Runs
from mmgraph.evaluation.statistics import Interval
from mmgraph.evaluation.studies import inference
from mmgraph.evaluation.studies.rows import Row
from mmgraph.evaluation.tables import number

NOT_RUN = "not run"
NOT_MEASURED = "not measured"
NOTE = (
    "Each value is the mean over seeds, with the 95 % t interval of that mean in brackets; of one or two seeds, the "
    "values themselves. Chance and majority (always the most frequent answer of training) are what must be beaten."
)
FIRST = "picture_to_text_at_1"
"""Only models that match pictures and captions have it."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table in small print."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(
        ['<div class="compact" markdown="1">\n', f"| {' | '.join(head)} |\n|{'---|' * len(head)}", *lines, "\n</div>\n"]
    )


def overview(names: Sequence[str], found: Mapping[str, list[Runs]], studies: Path) -> str:
    """Return what each recipe costs, one row each; `not run` where no runs are committed."""
    head = (
        *("recipe", "seeds", "budget", "parameters", "of these trained", "visual tokens", "CPU seconds"),
        *("accuracy, mean of all kinds", "chance", "majority", "command"),
    )
    rows = []
    for name in names:
        link = f"[`{name}`](recipes/{name}.md)"
        if name not in found:
            rows.append([link, *[NOT_RUN] * (len(head) - 1)])
            continue
        runs = found[name][0]
        rows.append([link, _seeds(runs), budget(runs), *_costs(runs), *_accuracy(runs), f"`{_command(runs, studies)}`"])
    return table(head, rows)


def sections(names: Sequence[str], found: Mapping[str, list[Runs]]) -> list[str]:
    """Return headings and tables: questions and retrieval by data, drawings, reconstructions, losses."""
    known = [found[name][0] for name in names if name in found]
    text: list[str] = []
    groups: dict[tuple[bool, str, str], list[Runs]] = {}
    for runs in known:
        if _kinds(runs):
            data = runs.rows[0]["data"]
            groups.setdefault((_matches(runs), data["dataset"], data["protocol"]), []).append(runs)
    for (matches, data, protocol), members in sorted(groups.items()):
        what = "Retrieval and zero-shot attributes" if matches else "Held-out questions"
        text += [
            f"### {what}: {data.removesuffix('Dataset').lower()}, protocol {protocol}\n",
            _side_by_side(members, _starting("understanding."), bounds=True),
        ]
    for title, start in (("Drawings", "generation."), ("Reconstructions", "reconstruction."), ("Losses", "losses.")):
        members = [runs for runs in known if any(path.startswith(start) for path in runs.paths)]
        if start == "losses.":
            members = [runs for runs in members if runs.checked == runs.paths and runs.paths[0].startswith(start)]
        if members:
            text += [f"### {title}\n", _side_by_side(members, _starting(start))]
    return text


def of_recipe(found: Sequence[Runs], golden: Row | None, studies: Path) -> list[str]:
    """Return a recipe's own section: every measure with its interval and the range expected of another seed."""
    if not found:
        return ["## Measured\n", f"No runs are committed: {NOT_RUN}.\n"]
    runs = found[0]
    costs = dict(zip(("parameters", "trained", "tokens", "seconds"), _costs(runs), strict=True))
    trained = f", {costs['trained']} of them trained" if costs["trained"] != NOT_MEASURED else ""
    tokens = f" A picture takes {costs['tokens']} positions." if costs["tokens"] != "–" else ""
    text = [
        "## Measured\n",
        f"{len(runs.rows)} run{'s' if len(runs.rows) > 1 else ''} ({_seeds(runs)}), {budget(runs)} each, "
        f"{costs['seconds']} CPU seconds on average; {costs['parameters']} parameters{trained}.{tokens}\n",
    ]
    if runs.stale:
        text.append('!!! warning "The recipe has been changed since these runs"\n')
    head = (
        "measure",
        "mean" if len(runs.rows) > 2 else "value",
        "95 % interval",
        "expected of another seed",
        "chance",
        "majority",
        "n",
    )
    rows = []
    for path in runs.paths:
        values = runs.values(path)
        ends = runs.expected(path) if path in runs.checked else None
        items = runs.about(path, "n")
        beside = (number(runs.about(path, "chance")), number(runs.about(path, "majority")))
        interval = _ends(inference.t_interval(values) if len(values) > 2 else None)
        counted = "–" if items is None else f"{items:.0f}"
        rows.append((words(path), _value(values, ends=False), interval, _ends(ends), *beside, counted))
    text.append(table(head, rows))
    if any(runs.expected(path) for path in runs.checked):
        text.append(
            f"Another seed is expected inside all of these ranges with probability "
            f"{1 - committed.ALPHA:.0%} or more (prediction intervals, their level shared over the rows)"
            f"{_on_this_machine(runs)}. {_held(golden)}\n"
        )
    text.append(f"```console\n$ {_command(runs, studies)}\n```\n")
    others = [f"{_seeds(one)}, {budget(one)}{_of_study(one, studies)}" for one in found[1:]]
    return [*text, *([f"Also committed: {'; '.join(others)}.\n"] if others else [])]


def budget(runs: Runs) -> str:
    """Return a budget as words: `950 steps`, `600 CPU-s`."""
    return runs.budget.replace("steps", " steps").replace("cpu-s", " CPU-s")


def words(path: str) -> str:
    """Return a measure's path as words: `colour`, `recall at 10, trained`."""
    section, *rest = path.removesuffix(".value").split(".")
    rest = [part.replace("_", " ") for part in rest if part not in ("accuracy", "unseen")]
    rest = [part.replace("recall at ", "R@") for part in rest]
    if section in ("generation", "reconstruction"):
        verb = "drawn" if section == "generation" else "reconstructed"
        return f"{verb}, {rest[-1]}" + (", trained" if "trained" in rest else "")
    if section == "graph" and path.endswith(".accuracy"):
        rest = [*rest, "right"]
    return f"loss, {', '.join(rest)}" if section == "losses" else ", ".join(rest)


def _starting(start: str) -> Callable[[str], bool]:
    return lambda path: path.startswith(start)


def _side_by_side(members: Sequence[Runs], wanted: Callable[[str], bool], *, bounds: bool = False) -> str:
    paths = list(dict.fromkeys(path for runs in members for path in runs.paths if wanted(path)))
    rows = []
    for name in ("chance", "majority") if bounds else ("chance",):
        cells = [_agreed([runs.about(path, name) for runs in members if path in runs.paths]) for path in paths]
        if any(cell != "–" for cell in cells):
            rows.append([f"*{name}*", "", *cells])
    for runs in members:
        link = f"[`{runs.recipe}`](recipes/{runs.recipe}.md)"
        cells = [_value(runs.values(path)) if path in runs.paths else NOT_MEASURED for path in paths]
        rows.append([link, str(len(runs.rows)), *cells])
    return table(("recipe", "seeds", *map(words, paths)), rows)


def _kinds(runs: Runs) -> list[str]:
    return [path for path in runs.paths if path.startswith("understanding.")]


def _matches(runs: Runs) -> bool:
    return any(FIRST in path for path in runs.paths)


def _accuracy(runs: Runs) -> tuple[str, str, str]:
    """Return the mean over the kinds of question, each counting once, with its chance and majority."""
    kinds = _kinds(runs)
    if not kinds or _matches(runs):
        return "–", "–", "–"
    per_seed = [sum(values) / len(kinds) for values in zip(*(runs.values(path) for path in kinds), strict=True)]
    beside = []
    for name in ("chance", "majority"):
        known = [runs.about(path, name) for path in kinds]
        complete = [value for value in known if value is not None]
        beside.append(number(sum(complete) / len(complete)) if len(complete) == len(known) else "–")
    return _value(per_seed), beside[0], beside[1]


def _costs(runs: Runs) -> tuple[str, str, str, str]:
    parameters, trained = runs.training("parameters"), runs.training("trained_parameters")
    tokens, seconds = runs.training("visual_tokens"), runs.training("cpu_seconds")
    return (
        _millions(parameters),
        _millions(trained),
        "–" if tokens is None else f"{tokens:.0f}",
        NOT_MEASURED if seconds is None else f"{seconds:.0f}",
    )


def _millions(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value / 1e6:.2f} M"


def _seeds(runs: Runs) -> str:
    seeds = list(runs.seeds)
    if len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"seeds {seeds[0]} to {seeds[-1]}"
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _value(values: Sequence[float], *, ends: bool = True) -> str:
    """Return mean and interval; of one or two runs, whose interval says nothing, the values."""
    if len(values) < 3:
        return ", ".join(map(number, values))
    interval = f" {_ends(inference.t_interval(values))}" if ends else ""
    return number(sum(values) / len(values)) + interval


def _ends(ends: Interval | None) -> str:
    return f"[{number(ends[0])}, {number(ends[1])}]" if ends else "–"


def _agreed(values: Sequence[float | None]) -> str:
    """Return one number where recipes agree, as on the same questions they do, else the smallest and the largest."""
    known = sorted({number(value) for value in values if value is not None})
    return "–" if not known else known[0] if len(known) == 1 else f"{known[0]} to {known[-1]}"


def _command(runs: Runs, studies: Path) -> str:
    if (studies / f"{runs.study}.yaml").is_file():
        return f"mmgraph compare --study docs/studies/{runs.study}.yaml"
    return f"mmgraph fit -c {runs.recipe} --seed {runs.seeds[0]} --budget {runs.budget}"


def _of_study(runs: Runs, studies: Path) -> str:
    known = runs.study and (studies / f"{runs.study}.yaml").is_file()
    return f" ([study {runs.study}](../studies/{runs.study}.md))" if known else ""


def _on_this_machine(runs: Runs) -> str:
    """Return for whom a range holds: seconds buy more steps on a faster machine."""
    if not runs.budget.endswith("cpu-s"):
        return ""
    return f", on a machine as fast as that of these runs ({runs.rows[0]['hardware']['cpu']})"


def _held(golden: Row | None) -> str:
    if golden is None:
        return f"Such a run, `pytest -m golden`: {NOT_RUN}."
    inside = len(golden["measures"]) - len(golden["outside"])
    said = f"Such a run, `pytest -m golden`, was made on {golden['date'][:10]} with seed {golden['seed']}: "
    said += f"{inside} of {len(golden['measures'])} inside"
    return said + (f"; {'; '.join(golden['outside'])}." if golden["outside"] else ".")
