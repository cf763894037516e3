"""Run the comparisons in fresh processes and print one table."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.benchmarks.cases import CASES, Case, megabytes, seconds
from tests.benchmarks.measuring import Clock, Ratios

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results" / "speed.jsonl"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help="rows to run, by a part of their name (default: all)")
    parser.add_argument("--threads", type=int, default=1, help="threads of every process (default: 1)")
    parser.add_argument(
        "--clock", choices=("cpu", "wall"), default="cpu", help="CPU time of the process, or the wall's"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON lines are appended here")
    parser.add_argument("--worker", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.worker is not None:
        return _work(options.worker, options.threads, options.clock)
    chosen = [case for case in CASES if not options.names or any(part in case.name for part in options.names)]
    rows = []
    for case in chosen:
        if case.missing:
            print(f'{case.name}: not run, {case.needs} is missing; pip install -e ".[bench]"', file=sys.stderr)
            continue
        row = _measure(case, options.threads, options.clock)
        rows.append(row)
        print(_line(row), file=sys.stderr)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        with options.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    _print(rows)
    return 0


def _measure(case: Case, threads: int, clock: Clock) -> dict[str, Any]:
    if case.measure == "seconds":
        found = _start([case.name], threads, clock)
        ratios, details = Ratios(**found["ratios"]), {"clock": clock}
        parameters = found["parameters"]
    else:
        pairs = [
            [_start([case.name, side], threads, clock) for side in (case.first, case.second)]
            for _ in range(case.rounds)
        ]
        found = pairs[0][0]
        ratios = Ratios.of(*([pair[k]["peak"] - pair[k]["imports"] for pair in pairs] for k in (0, 1)))
        totals = Ratios.of(*([pair[k]["peak"] for pair in pairs] for k in (0, 1)))
        details = {"imports": [side["imports"] for side in pairs[0]], "with imports": _rounded(totals)}
        parameters = [side["parameters"] for side in pairs[0]]
    return {
        "name": case.name,
        "ratio": _rounded(ratios),
        "unit": case.measure,
        "goal": f"{case.sense} {case.goal:g}",
        "met": case.meets(ratios.median),
        "rounds": case.rounds,
        "parameters": parameters,
        **details,
        "command": f"python -m tests.benchmarks --threads {threads} --clock {clock} {shlex.quote(case.name)}",
        "versions": found["versions"],
        "hardware": found["hardware"],
        "date": datetime.date.today().isoformat(),
    }


def _rounded(ratios: Ratios) -> dict[str, float]:
    return {name: float(f"{value:.4g}") for name, value in vars(ratios).items()}


def _start(worker: list[str], threads: int, clock: Clock) -> dict[str, Any]:
    """Run one worker in a process of its own and return what it says on its last line."""
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks",
        "--threads",
        str(threads),
        "--clock",
        clock,
        "--worker",
        *worker,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _work(worker: list[str], threads: int, clock: Clock) -> int:
    import torch

    torch.set_num_threads(threads)
    case = next(case for case in CASES if case.name == worker[0])
    found: dict[str, Any]
    if len(worker) == 1:
        ratios, parameters = seconds(case, clock)
        found = {"ratios": vars(ratios), "parameters": parameters}
    else:
        found = dict(megabytes(case, worker[1]))
    from mmgraph.evaluation.machine import hardware, versions

    found["hardware"] = hardware()
    found["versions"] = versions()
    if case.needs:
        from importlib.metadata import version

        found["versions"][case.needs] = version(case.needs)
    print(json.dumps(found))
    return 0


def _line(row: dict[str, Any]) -> str:
    ratio = row["ratio"]
    found = f"{ratio['median']:.3g} ({ratio['low']:.3g} to {ratio['high']:.3g})"
    return f"{row['name']}: {found}, goal {row['goal']}: {'met' if row['met'] else 'missed'}"


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Paired ratios", title_justify="left")
    for column in ("what", "ratio", "min to max", "goal", "met", "first", "second"):
        table.add_column(column, justify="left" if column in ("what", "goal", "met") else "right")
    for row in rows:
        ratio = row["ratio"]
        unit = {"seconds": "s", "megabytes": "MB"}[row["unit"]]
        table.add_row(
            row["name"],
            f"{ratio['median']:.3g}",
            f"{ratio['low']:.3g} to {ratio['high']:.3g}",
            row["goal"],
            "yes" if row["met"] else "no",
            *(f"{ratio[side]:.3g} {unit}" for side in ("first", "second")),
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
