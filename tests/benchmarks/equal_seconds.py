"""One recipe, several picture tokenizers, equal CPU seconds: `python -m tests.benchmarks.equal_seconds`.

The arms are the recipe `transfusion` on few concepts and nothing but drawing, so that seconds suffice to leave
chance behind. What each arm costs at the start and per step is measured first and decides its number of steps. Rows are
appended to docs/results/equal-seconds.jsonl; the page "Choose a tokenizer" is drawn from them.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from mmgraph.cli import main as mmgraph
from mmgraph.evaluation import machine
from mmgraph.evaluation.protocol import evaluate

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results" / "equal-seconds.jsonl"
COMMON = (
    "fit -c transfusion --data.init_args.tasks '{draw: 1}' "
    "--data.init_args.subgroups '[food-fruit, heart, time, cat-face]' "
    "--data.init_args.keywords 0 --data.init_args.withhold 0 --model.init_args.dim 128 --model.init_args.depth 3"
)
IMAGE = "--model.init_args.tokenizers.image"
PATCH = f"{IMAGE}.class_path mmgraph.tokenizers.patch {IMAGE}.init_args"
ARMS = {
    "pca, 8 x 8, 48 components": "",
    "patch, 8 x 8": f"{PATCH} '{{image_size: 24, patch_size: 8}}'",
    "patch, 4 x 4": f"{PATCH} '{{image_size: 24, patch_size: 4}}'",
}
PROBES = (10, 34)


def train(arm: str, seed: int, steps: int, run: Path) -> dict[str, Any]:
    """Train one arm and return the figures of its training."""
    words = shlex.split(f"{COMMON} {ARMS[arm]} --seed {seed} --trainer.max_steps {steps} --run {shlex.quote(str(run))}")
    if mmgraph(words):
        raise SystemExit(f"mmgraph {shlex.join(words)} failed")
    figures: dict[str, Any] = json.loads((run / "training.json").read_text(encoding="utf-8"))
    return figures


def affordable(arm: str, budget: float, folder: Path) -> int:
    """Return how many steps an arm can make with so many CPU seconds."""
    number = list(ARMS).index(arm)
    few, more = (train(arm, 0, steps, folder / f"probe-{number}-{steps}")["cpu_seconds"] for steps in PROBES)
    step = (more - few) / (PROBES[1] - PROBES[0])
    return round((budget - few) / step) + PROBES[0]


def main(argv: list[str]) -> int:
    """Train and measure every arm with every seed and append the rows."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.equal_seconds", description=__doc__)
    parser.add_argument("--budget", type=float, default=30.0, help="CPU seconds of each training (default: 30)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON lines are appended here")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        steps_of = {arm: affordable(arm, options.budget, Path(folder)) for arm in options.arms}
        for seed in options.seeds:
            for number, arm in enumerate(options.arms):
                steps = steps_of[arm]
                run = Path(folder, f"{number}-{seed}")
                figures = train(arm, seed, steps, run)
                found = evaluate(run, metrics=["retrieval"])
                drawn = {name: found["generation"][name] for name in ("trained", "unseen")}
                row = {
                    "arm": arm,
                    "seed": seed,
                    "budget_cpu_seconds": options.budget,
                    "cpu_seconds": figures["cpu_seconds"],
                    "steps": figures["steps"],
                    "visual_tokens": found["training"]["visual_tokens"],
                    "parameters": found["training"]["parameters"],
                    **{
                        f"{score}_{name}": scores[score]["value"]
                        for name, scores in drawn.items()
                        for score in ("recall_at_1", "recall_at_10")
                    },
                    **{f"n_{name}": scores["recall_at_10"]["n"] for name, scores in drawn.items()},
                    "candidates": drawn["trained"]["recall_at_10"]["candidates"],
                    "command": shlex.join(["python", "-m", "tests.benchmarks.equal_seconds", *argv]),
                    "fit": f"mmgraph {COMMON} {ARMS[arm]} --seed {seed} --trainer.max_steps {steps}",
                    "versions": machine.versions(),
                    "hardware": machine.hardware(),
                    "date": datetime.date.today().isoformat(),
                }
                print({key: row[key] for key in list(row)[:11]}, file=sys.stderr)
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
