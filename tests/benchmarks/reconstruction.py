"""What each picture tokenizer keeps of held-out pictures: `python -m tests.benchmarks.reconstruction`.

Rows are appended to docs/results/tokenizers.jsonl; the page "Choose a tokenizer" is drawn from them. The seeds
are the worlds of the shapes, and the protocols' divisions of the emoji: there `random` and `grouped` only, since a
data set of fixed pictures has one division each.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from mmgraph.datasets import Dataset, emoji, shapes
from mmgraph.evaluation import machine
from mmgraph.tokenizers import Tokenizer, ae, patch, pca

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results" / "tokenizers.jsonl"
TRAIN, HELD_OUT = 1500, 300


def data_sets() -> Iterator[tuple[str, str, Dataset]]:
    """Yield the name, the variant and the data set of each measurement."""
    for seed in range(3):
        yield "shapes, 24 px", f"world {seed}", shapes(world_seed=seed, image_size=24)
    for size in (24, 32):
        for protocol in ("random", "grouped"):
            yield f"emoji, {size} px", protocol, emoji(image_size=size, protocol=protocol)  # type: ignore[arg-type]


def tokenizers(image_size: int, what: str, variant: str) -> Iterator[tuple[str, Tokenizer]]:
    """Yield a label and a tokenizer for pictures of this size."""
    yield "patch, 8 x 8", patch(image_size, 8)
    yield "patch, 4 x 4", patch(image_size, 4)
    for components in (12, 24, 48, 96):
        yield f"pca, 8 x 8, {components} components", pca(image_size, 8, components=components)
    if what == "emoji, 32 px" and variant == "grouped":  # elsewhere its weights have seen what is held out here
        yield "ae, zoo:ae", ae(32, 8, latent_dim=48, width=32, weights="zoo:ae")


def held_out(dataset: Dataset) -> torch.Tensor:
    """Return the pictures of the test split `(N, 3, S, S)`, each once."""
    found: dict[bytes, torch.Tensor] = {}
    for sample in dataset.evaluation("test", "draw", 2 * HELD_OUT):
        picture = next(segment.content for segment in sample.segments if segment.modality == "image")
        found.setdefault(picture.numpy().tobytes(), picture)
    return torch.stack(list(found.values())[:HELD_OUT])


def training(dataset: Dataset) -> list[torch.Tensor]:
    """Return training pictures."""
    pictures = []
    for picture in dataset.contents("image"):
        pictures.append(picture)
        if len(pictures) == TRAIN:
            break
    return pictures


def measure(tokenizer: Tokenizer, train: list[torch.Tensor], test: torch.Tensor) -> dict[str, Any]:
    """Fit on training pictures and reconstruct held-out ones."""
    begin = time.process_time()
    if not tokenizer.fitted:
        tokenizer.fit(train)
    fitted = time.process_time() - begin
    with torch.no_grad():
        again = tokenizer.decode(tokenizer.encode(test))
    error = (again.float() - test.float()).square().mean().sqrt()
    return {
        "tokens": tokenizer.num_tokens,
        "numbers_per_token": tokenizer.token_dim,
        "rmse_of_255": round(float(error), 3),
        "fit_cpu_seconds": round(fitted, 3),
        "training_pictures": len(train),
        "held_out_pictures": len(test),
    }


def main(argv: list[str]) -> int:
    """Measure every tokenizer on every data set and append the rows."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.reconstruction", description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON lines are appended here")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    about = {
        "command": "python -m tests.benchmarks.reconstruction",
        "versions": machine.versions(),
        "hardware": machine.hardware(),
        "date": datetime.date.today().isoformat(),
    }
    for what, variant, dataset in data_sets():
        train, test = training(dataset), held_out(dataset)
        for label, tokenizer in tokenizers(test.shape[-1], what, variant):
            row = {"data": what, "variant": variant, "tokenizer": label, **measure(tokenizer, train, test), **about}
            print(what, variant, label, row["rmse_of_255"], row["fit_cpu_seconds"], file=sys.stderr)
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
