"""What a batch of neighbourhoods costs as the graph grows: `python -m tests.benchmarks.graph_sampling`.

Graphs of N nodes and 10 N typed edges are written straight into mapped arrays; each size is measured in a process of
its own. Rows are appended to docs/results/graph-sampling.jsonl: CPU seconds per batch of sampling and of collating,
and by how much memory grew, file pages that the system keeps for the mapped arrays included and told apart.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results" / "graph-sampling.jsonl"
SIZES = (10_000, 100_000, 1_000_000)
DEGREE, RELATIONS, BATCH, BATCHES = 10, 4, 64, 20


def write(folder: Path, num_nodes: int, seed: int = 0, *, block: int = 100_000) -> None:
    """Write a graph of `num_nodes` nodes and ten times as many edges, rows first, a block of rows at a time.

    Degrees are geometric of mean ten, so that some nodes have many times that; senders are even over all nodes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    starts = np.zeros(num_nodes + 1, np.int64)
    np.cumsum(generator.geometric(1 / DEGREE, num_nodes), out=starts[1:])
    np.save(folder / "starts.npy", starts)
    total = int(starts[-1])
    files = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=kind, shape=(total,))
        for name, kind in (("senders", np.int64), ("types", np.int32))
    }
    for first in range(0, num_nodes, block):
        begin, end = starts[first], starts[min(first + block, num_nodes)]
        files["senders"][begin:end] = generator.integers(0, num_nodes, end - begin)
        files["types"][begin:end] = generator.integers(0, RELATIONS, end - begin)
    for file in files.values():
        file.flush()
    (folder / "graph.json").write_text(json.dumps({"num_relations": RELATIONS}), encoding="utf-8")


def memory() -> dict[str, float]:
    """Return megabytes of this process: its own, and pages of mapped files."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    held = {line.split(":")[0]: line.split(":")[1] for line in lines if ":" in line}
    return {name: int(held[key].split()[0]) / 1024 for name, key in (("own", "RssAnon"), ("mapped", "RssFile"))}


def measure(folder: Path, name: str) -> dict[str, Any]:
    """Sample and collate batches of a mapped graph and return what they cost."""
    import torch

    from mmgraph.adjacency import Adjacency
    from mmgraph.graph_batches import collate
    from mmgraph.graph_samplers import k_hop, ppr

    torch.set_num_threads(1)
    sampler = {"k_hop": lambda: k_hop(16, 2), "ppr": lambda: ppr(16, cache_nodes=0)}[name]()
    adjacency = Adjacency.open(folder)
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randint(0, adjacency.num_nodes, (BATCH,), generator=generator) for _ in range(BATCHES)]
    collate(adjacency, batches[0], sampler.sample(adjacency, batches[0]))  # what is loaded once
    before = memory()
    sampling, collating, places, edges = [], [], 0, 0
    for number, nodes in enumerate(batches):
        begin = time.process_time()
        found = sampler.sample(adjacency, nodes, seed=number)
        middle = time.process_time()
        batch = collate(adjacency, nodes, found)
        sampling.append(middle - begin)
        collating.append(time.process_time() - middle)
        places += len(batch.place)
        edges += batch.edge_index.shape[1]
    after = memory()
    both = np.array(sampling) + np.array(collating)
    return {
        "sampling_ms": round(1e3 * float(np.median(sampling)), 2),
        "collating_ms": round(1e3 * float(np.median(collating)), 2),
        "batches_per_cpu_second": round(1 / float(np.median(both)), 1),
        "places_per_batch": round(places / BATCHES, 1),
        "edges_per_batch": round(edges / BATCHES, 1),
        "own_mb_grew": round(after["own"] - before["own"], 1),
        "mapped_mb_grew": round(after["mapped"] - before["mapped"], 1),
    }


def main(argv: list[str]) -> int:
    """Measure every size and append the rows."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.graph_sampling", description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON lines are appended here")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, help="numbers of nodes")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.worker:
        print(json.dumps(measure(Path(options.worker[0]), options.worker[1])))
        return 0
    from mmgraph.evaluation import machine

    about = {
        "command": "python -m tests.benchmarks.graph_sampling",
        "versions": machine.versions(),
        "hardware": machine.hardware(),
        "date": datetime.date.today().isoformat(),
    }
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            begin = time.process_time()
            write(Path(folder), size)
            seconds = time.process_time() - begin
            disk = sum(file.stat().st_size for file in Path(folder).iterdir()) / 2**20
            for sampler in ("k_hop", "ppr"):
                command = [sys.executable, "-m", "tests.benchmarks.graph_sampling", "--worker", folder, sampler]
                told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                row = {
                    "sampler": sampler,
                    "nodes": size,
                    "edges": DEGREE * size,
                    "on_disk_mb": round(disk, 1),
                    "writing_cpu_seconds": round(seconds, 2),
                    "batch": BATCH,
                    **json.loads(told),
                    **about,
                }
                print(sampler, size, json.loads(told), file=sys.stderr)
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
