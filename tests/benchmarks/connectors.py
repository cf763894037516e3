"""What visual tokens cost: `python -m tests.benchmarks.connectors`, from the root of the repository.

One training step of a small model that answers a question about a picture, whose 64 or 256 tokens each connector brings
to 4, 16 or 64 positions. Every connector takes turns with `linear`, which keeps every token, on one thread by CPU time;
rows are the median of the paired ratios with the smallest and the largest. The tokens are raw patches, so that no
encoder's time is in them. Rows are appended to docs/results/connectors.jsonl.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mmgraph.blocks import dense
from mmgraph.connectors import (
    Connector,
    average_pool,
    linear,
    locality,
    mlp,
    q_former,
    resampler,
    token_packer,
)
from mmgraph.evaluation import machine
from mmgraph.heads import next_token
from mmgraph.models import UnifiedModel
from mmgraph.processors import single
from mmgraph.sequence import Sample, Segment
from mmgraph.tokenizers import byte, patch
from tests.benchmarks.measuring import Ratios, Side, alternate
from tests.benchmarks.ours import BATCHES, BareLoop, count

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results" / "connectors.jsonl"
SIDES, POSITIONS = (8, 16), (4, 16, 64)
DIM, DEPTH, HEADS, BATCH, PATCH = 128, 3, 4, 8, 4
QUESTION, ANSWER = "which colour ?", "green"
KEEPING: dict[str, Callable[[], Connector]] = {"linear": linear, "mlp": mlp}
"""Connectors that keep every token."""
REDUCING: dict[str, Callable[[int], Connector]] = {
    "average_pool": average_pool,
    "locality": locality,
    "token_packer": token_packer,
    "resampler": resampler,
    "q_former": q_former,
}
"""Connectors that are told how many positions to give, with their default depth."""


def side(connector: Connector, tokens_a_side: int) -> Side:
    """Return the training of a model with this connector."""
    torch.manual_seed(0)
    pixels = PATCH * tokens_a_side
    model = UnifiedModel(
        single(),
        {"text": byte(), "image": patch(pixels, PATCH)},
        block=dense(HEADS),
        heads={"text": next_token()},
        connectors={"image": connector},
        dim=DIM,
        depth=DEPTH,
    )
    model.build()
    random = torch.Generator().manual_seed(0)

    def sample(key: int) -> Sample:
        picture = torch.randint(0, 256, (3, pixels, pixels), generator=random, dtype=torch.uint8)
        texts = (Segment("text", QUESTION), Segment("text", ANSWER, target=True))
        return Sample((Segment("image", picture), *texts), "ask", key)

    batches = [[sample(b * BATCH + row) for row in range(BATCH)] for b in range(BATCHES)]
    return Side(BareLoop(model, batches).run, count(model))


def compared() -> list[tuple[int, str, int, Callable[[], Connector]]]:
    """Return tokens a side, name, positions and maker of each connector that is compared with `linear`."""
    found: list[tuple[int, str, int, Callable[[], Connector]]] = []
    for tokens in SIDES:
        found += [(tokens, name, tokens**2, make) for name, make in KEEPING.items() if name != "linear"]
        for positions in POSITIONS:
            if positions < tokens**2:
                found += [
                    (tokens, name, positions, lambda make=make, positions=positions: make(positions))
                    for name, make in REDUCING.items()
                ]
    return found


def measure(tokens: int, make: Callable[[], Connector], rounds: int) -> tuple[Ratios, int, int]:
    """Return the ratios of a connector over `linear`, and the parameters of both models."""
    first, second = side(make(), tokens), side(linear(), tokens)
    return alternate(first, second, rounds=rounds, steps=1, warmup=1, clock="cpu"), first.parameters, second.parameters


def main(argv: list[str]) -> int:
    """Measure every connector and append the rows."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.connectors", description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON lines are appended here")
    parser.add_argument("--rounds", type=int, default=7, help="pairs that are measured (default: 7)")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    about: dict[str, Any] = {
        "rounds": options.rounds,
        "model": f"dim {DIM}, depth {DEPTH}, batch {BATCH}",
        "command": "python -m tests.benchmarks.connectors" + f" --rounds {options.rounds}" * (options.rounds != 7),
        "versions": machine.versions(),
        "hardware": machine.hardware(),
        "date": datetime.date.today().isoformat(),
    }
    for tokens, name, positions, make in compared():
        ratios, parameters, parameters_linear = measure(tokens, make, options.rounds)
        row = {
            "connector": name,
            "encoder_tokens": tokens**2,
            "visual_tokens": positions,
            "ratio": {key: float(f"{value:.4g}") for key, value in vars(ratios).items()},
            "parameters": parameters,
            "parameters_with_linear": parameters_linear,
            **about,
        }
        print(f"{tokens**2} to {positions}, {name}: {ratios.median:.3f} of linear", file=sys.stderr)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        with options.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
