"""What a codebook's size buys: `python -m tests.benchmarks.codebooks`.

The tokenizer `vq` with 16 to 512 codes, each trained for the same steps on three worlds of shapes (the seed is that
of the world and of the training). Rows are appended to docs/results/codebooks.jsonl: error, what the oracle still
reads after reconstruction beside what it reads on true pictures, the use of the codes, and bits a picture. What is in
the file already is not run again.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from mmgraph.datasets import Dataset, shapes
from mmgraph.evaluation import autoencoding, machine
from mmgraph.evaluation.examples import captions
from mmgraph.models import Optimization
from mmgraph.pictures import to_float
from mmgraph.tokenizers import Tokenizer, vq

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results" / "codebooks.jsonl"
SIZES, SEEDS = (16, 64, 256, 512), range(3)
IMAGE_SIZE, BATCH, HELD_OUT = 16, 32, 200


def train(tokenizer: Tokenizer, pictures: torch.Tensor, steps: int, seed: int) -> float:
    """Train on random batches and return the CPU seconds."""
    begin = time.process_time()
    optimization = Optimization(learning_rate=5e-3, warmup_steps=min(50, steps), schedule="cosine")
    set_up = optimization.configure(tokenizer, steps)
    optimizer, schedule = set_up["optimizer"], set_up["lr_scheduler"]["scheduler"]
    torch.manual_seed(seed)
    for _ in range(steps):
        true = to_float(pictures[torch.randint(len(pictures), (BATCH,))])
        given, losses = tokenizer.reconstruct(true)
        loss = torch.stack([F.mse_loss(given, true), F.l1_loss(given, true), *losses.values()]).sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(tokenizer.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    tokenizer.standardize(list(pictures))
    tokenizer.eval()
    return time.process_time() - begin


def measure(dataset: Dataset, size: int, seed: int, steps: int, width: int = 24) -> dict[str, Any]:
    """Train one tokenizer and measure it on held-out scenes."""
    torch.manual_seed(seed)
    tokenizer = vq(IMAGE_SIZE, 4, num_codes=size, latent_dim=16, width=width)
    pictures = torch.stack(list(dataset.contents("image")))
    seconds = train(tokenizer, pictures, steps, seed)
    known = captions(dataset, "test", HELD_OUT)
    true = torch.stack([caption.picture for caption in known])
    again, codes = autoencoding.reconstruct(tokenizer, true)
    scores = autoencoding.code_scores(codes, size)
    oracle = autoencoding.oracle(dataset, known, again)
    return {
        "tokens": tokenizer.num_tokens,
        "codes": size,
        "bits": round(tokenizer.num_tokens * math.log2(size), 1),
        "rmse_of_255": round(float((again.float() - true.float()).square().mean().sqrt()), 3),
        "codebook_use": round(scores["codebook_use"].value, 4),
        "perplexity": round(scores["perplexity"].value, 2),
        "oracle": {name.removeprefix("oracle_"): round(score.value, 4) for name, (score, _) in oracle.items()},
        "oracle_on_true": {name.removeprefix("oracle_"): round(clean, 4) for name, (_, clean) in oracle.items()},
        "steps": steps,
        "cpu_seconds": round(seconds, 1),
        "training_pictures": len(pictures),
        "held_out_pictures": len(true),
    }


def main(argv: list[str]) -> int:
    """Measure every size on every world and append the rows."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.codebooks", description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON lines are appended here")
    parser.add_argument("--steps", type=int, default=700, help="training steps of each (default: 700)")
    parser.add_argument("--scenes", type=int, default=4000, help="scenes of each world (default: 4000)")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    about = {
        "command": "python -m tests.benchmarks.codebooks" + (f" --steps {options.steps}" * (options.steps != 700)),
        "versions": machine.versions(),
        "hardware": machine.hardware(),
        "date": datetime.date.today().isoformat(),
    }
    done = set()
    if options.out.is_file():
        rows = [json.loads(line) for line in options.out.read_text(encoding="utf-8").splitlines()]
        done = {(row["seed"], row["codes"]) for row in rows if row["steps"] == options.steps}
    for seed in SEEDS:
        if all((seed, size) in done for size in SIZES):
            continue
        dataset = shapes(
            world_seed=seed,
            image_size=IMAGE_SIZE,
            num_scenes=options.scenes,
            tasks={"draw": 1.0},
            evaluation_scenes=HELD_OUT,
        )
        for size in SIZES:
            if (seed, size) in done:
                continue
            found = measure(dataset, size, seed, options.steps)
            row = {"data": f"shapes, {IMAGE_SIZE} px", "seed": seed, "tokenizer": "vq, 4 x 4", **found, **about}
            print(seed, size, *(found[key] for key in ("rmse_of_255", "perplexity", "cpu_seconds")), file=sys.stderr)
            print(found["oracle"], file=sys.stderr)
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
