"""What edges are worth where the truth is known: `python -m tests.benchmarks.synthetic_graph`.

Each node of `synthetic_graph` is asked for its colour, its own picture hidden. Tiny heads on tiny encoders, no
transformer: without a graph, with a perceptron as large as the graph network, with real edges and with edges rewired
within each relation. Beside them the most frequent colour of the training nodes, and the exact posterior: given what
contents and edges tell, and given the training nodes' labels as well. Rows are appended to
docs/results/synthetic-graph.jsonl; what is in the file already is not run again.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from mmgraph_datasets.synthetic_world import Relation
from torch import Tensor, nn
from torch.nn import functional as F

from mmgraph.datasets import synthetic_graph
from mmgraph.evaluation import machine
from mmgraph.graph_encoders import mlp, none, rgcn, sage
from mmgraph.graph_fusion import FusedGraphEncoder
from mmgraph.leaks import hide_held_out, hide_targets
from mmgraph.pictures import to_float

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results" / "synthetic-graph.jsonl"
SEEDS = range(3)
SAME_SHAPE = Relation("shape", 0.8)
WORLDS = {
    "homophily 0.9": {"linked": Relation("colour", 0.9, "paired"), "same_shape": SAME_SHAPE},
    "homophily 0.5": {"linked": Relation("colour", 0.5, "paired"), "same_shape": SAME_SHAPE},
    "homophily 0.1": {"linked": Relation("colour", 0.1, "paired"), "same_shape": SAME_SHAPE},
    "both relations": {
        "same_colour": Relation("colour", 0.9, "paired"),
        "opposite_colour": Relation("colour", 0.1, "paired"),
        "same_shape": SAME_SHAPE,
    },
}
"""Linked nodes have the same colour with this probability, else the one paired with it; `both` mixes two."""

ARMS = {
    "none": (lambda: none(), True),
    "mlp": (lambda: mlp(rgcn(2)), True),
    "sage": (lambda: sage(2), True),
    "rgcn": (lambda: rgcn(2), True),
    "sage, rewired": (lambda: sage(2), False),
    "rgcn, rewired": (lambda: rgcn(2), False),
}
DIM, GROUPS = 32, 4
YARDSTICKS = ("majority", "Bayes", "Bayes with labels")


class Arm(nn.Module):
    """An encoder of words and pixels, and a linear head on each node's token."""

    def __init__(self, encoder: Any, features: dict[str, Tensor], relations: int, classes: int) -> None:
        super().__init__()
        self.encoder = FusedGraphEncoder(encoder)
        self.encoder.build({name: held.shape[1] for name, held in features.items()}, DIM, relations)
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(DIM, classes))

    def forward(self, features: dict[str, Tensor], present: dict[str, Tensor], edges: Tensor, types: Tensor) -> Tensor:
        """Return the scores of every node `(N, K)`."""
        return self.head(self.encoder(features, present, edges, types))


def featurise(dataset: Any) -> dict[str, Tensor]:
    """Return bags of words and 4 x 4 pixels of every node."""
    nodes = range(dataset.world.num_nodes)
    texts = [dataset.text(node).split() for node in nodes]
    vocabulary = {word: place for place, word in enumerate(sorted({word for text in texts for word in text}))}
    words = torch.zeros(len(texts), len(vocabulary))
    for node, text in enumerate(texts):
        words[node, [vocabulary[word] for word in text]] = 1.0
    pictures = to_float(torch.stack([dataset.picture(node) for node in nodes]))
    return {"text": words, "image": F.adaptive_avg_pool2d(pictures, 4).flatten(1)}


def rewire(edges: Tensor, types: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Return undirected edges `(2, E)` with partners exchanged within each relation: every degree stays."""
    generator = torch.Generator().manual_seed(seed)
    found = edges.clone()
    for kind in types.unique():
        mine = (types == kind).nonzero().flatten()
        found[1, mine] = edges[1, mine[torch.randperm(len(mine), generator=generator)]]
    return found, types


def run(dataset: Any, features: dict[str, Tensor], arm: str, seed: int, steps: int) -> dict[str, Any]:
    """Train one arm and score it on the test nodes, a quarter of them hidden at a time."""
    make, real = ARMS[arm]
    graph, truth = dataset.graph, dataset.truth("colour")
    edges, types = torch.from_numpy(dataset.world.edges), torch.from_numpy(dataset.world.types)
    if not real:
        edges, types = rewire(edges, types, seed)
    edges, types = torch.cat((edges, edges.flip(0)), 1), types.repeat(2)
    nodes = torch.arange(graph.num_nodes)
    train, test = graph.splits["train"], graph.splits["test"]
    seen = {name: hide_held_out(held, nodes, graph.splits, seen=["train"]) for name, held in graph.present.items()}
    torch.manual_seed(seed)
    network = Arm(make(), features, len(graph.relations), len(dataset.names["colour"]))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    begin = time.process_time()
    for _ in range(steps):
        targets = train[torch.randperm(len(train))[: len(train) // GROUPS]]
        present = {"text": seen["text"], "image": hide_targets(seen["image"], nodes, targets)}
        loss = F.cross_entropy(network(features, present, edges, types)[targets], truth[targets])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    seconds = time.process_time() - begin
    network.eval()
    right = torch.zeros(graph.num_nodes, dtype=torch.bool)
    with torch.no_grad():
        for group in test.chunk(GROUPS):
            present = {"text": graph.present["text"], "image": hide_targets(graph.present["image"], nodes, group)}
            scores = network(features, present, edges, types)
            right[group] = scores[group].argmax(1) == truth[group]
    isolated = torch.from_numpy(dataset.world.isolated)[test]
    return {
        "accuracy": round(float(right[test].float().mean()), 4),
        "accuracy_isolated": round(float(right[test][isolated].float().mean()), 4),
        "final_loss": round(loss.item(), 4),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "cpu_seconds": round(seconds, 2),
    }


def yardstick(dataset: Any, name: str) -> dict[str, Any]:
    """Return how often a yardstick is right on the test nodes, as they are hidden in `run`."""
    truth, (train, test) = dataset.truth("colour"), (dataset.graph.splits[split] for split in ("train", "test"))
    isolated = torch.from_numpy(dataset.world.isolated)[test]
    if name == "majority":
        right = truth[test] == truth[train].bincount().argmax()
        found = {"accuracy": right.float().mean(), "accuracy_isolated": right[isolated].float().mean()}
        return {key: round(float(value), 4) for key, value in found.items()}
    labelled = torch.zeros(len(truth), dtype=torch.bool)
    labelled[train] = name == "Bayes with labels"
    found = torch.zeros(len(truth), len(dataset.names["colour"]), dtype=torch.float64)
    for group in test.chunk(GROUPS):
        hidden = torch.zeros(len(truth), dtype=torch.bool)
        hidden[group] = True
        found[group] = dataset.posterior("colour", hidden_images=hidden, labelled=labelled)[group]
    right = found[test].argmax(1) == truth[test]
    return {
        "accuracy": round(float(right.float().mean()), 4),
        "accuracy_isolated": round(float(right[isolated].float().mean()), 4),
        "expected_accuracy": round(float(found[test].max(1).values.mean()), 4),
        "attainable_bits": round(float(dataset.attainable_bits("colour")[test].mean()), 3),
    }


def main(argv: list[str]) -> int:
    """Run every world, seed and arm, and append the rows."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.synthetic_graph", description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON lines are appended here")
    parser.add_argument("--steps", type=int, default=120, help="training steps of each arm (default: 120)")
    parser.add_argument("--nodes", type=int, default=2000, help="nodes of each world (default: 2000)")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    flags = f" --steps {options.steps}" * (options.steps != 120) + f" --nodes {options.nodes}" * (options.nodes != 2000)
    about = {
        "command": f"python -m tests.benchmarks.synthetic_graph{flags}",
        "versions": machine.versions(),
        "hardware": machine.hardware(),
        "date": datetime.date.today().isoformat(),
    }
    done = set()
    if options.out.is_file():
        rows = [json.loads(line) for line in options.out.read_text(encoding="utf-8").splitlines()]
        done = {
            (row["world"], row["seed"], row["arm"])
            for row in rows
            if row["steps"] == options.steps and row["nodes"] == options.nodes
        }
    for seed in SEEDS:
        for world, relations in WORLDS.items():
            left = [arm for arm in (*ARMS, *YARDSTICKS) if (world, seed, arm) not in done]
            if not left:
                continue
            dataset = synthetic_graph(num_nodes=options.nodes, relations=dict(relations), world_seed=seed)
            features = featurise(dataset) if set(left) & set(ARMS) else {}
            for arm in left:
                if arm in YARDSTICKS:
                    found = yardstick(dataset, arm)
                else:
                    found = run(dataset, features, arm, seed, options.steps)
                sizes = {"nodes": options.nodes, "test_nodes": len(dataset.items("test")), "steps": options.steps}
                row = {"world": world, "seed": seed, "arm": arm, **found, **sizes, **about}
                print(seed, world, arm, found["accuracy"], found["accuracy_isolated"], file=sys.stderr)
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
