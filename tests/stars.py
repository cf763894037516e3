"""Stars whose answer is known: the neighbour by `tells` has the colour that is asked for, those by `noise` any."""

from __future__ import annotations

import functools
import random

import torch
from torch_geometric.data import Data

from mmgraph import graph_encoders, graph_injectors
from mmgraph.blocks import dense
from mmgraph.graph_samplers import k_hop
from mmgraph.graphs import GraphNode, MultimodalGraph
from mmgraph.heads import next_token
from mmgraph.models import GraphContext, UnifiedModel
from mmgraph.processors import single
from mmgraph.sequence import Sample, Segment
from mmgraph.tokenizers import word
from tests import tiny

COLOURS = ("red", "green", "blue", "black")
ARMS = 3
"""Neighbours of each node that is asked: the first tells, the others do not."""
TAUGHT = 140
"""Stars that are trained on."""


def graph(count: int = 160) -> tuple[MultimodalGraph, list[str]]:
    """Return so many stars side by side, and the answer of each; node `4 n` is the middle of star n."""
    drawn = random.Random(0)
    texts: list[str | None] = []
    edges, types, answers = [], [], []
    for star in range(count):
        middle = star * (ARMS + 1)
        colours = [drawn.choice(COLOURS) for _ in range(ARMS)]
        texts += [None, *colours]
        answers.append(colours[0])
        for arm in range(ARMS):
            edges.append((middle + 1 + arm, middle))
            types.append(0 if arm == 0 else 1)
    data = Data(num_nodes=len(texts), edge_index=torch.tensor(edges).t(), edge_type=torch.tensor(types))
    return MultimodalGraph(data, ["tells", "noise"], texts=texts), answers


@functools.cache
def asked() -> list[Sample]:
    """Return the question of each star."""
    of, answers = graph()
    return [
        Sample(
            (
                Segment("graph", GraphNode(of, star * (ARMS + 1))),
                Segment("text", "which colour ?"),
                tiny.aim(Segment("text", answer)),
            ),
            "ask",
            star,
        )
        for star, answer in enumerate(answers)
    ]


def model(encoder: str = "rgcn", injector: str = "soft_prompt") -> UnifiedModel:
    """Return a tiny model that nothing has been taught."""
    torch.manual_seed(0)
    text = word()
    text.fit([*COLOURS, "which colour ?"])
    context = GraphContext(
        k_hop(ARMS, num_hops=1),
        getattr(graph_injectors, injector)(),
        encoder=getattr(graph_encoders, encoder)(),
        relations=["tells", "noise"],
    )
    sizes = {"dim": 32, "depth": 1, "max_text": 16, "embedding_std": 0.1}
    parts = {"block": dense(2), "heads": {"text": next_token()}, "graph": context}
    built = UnifiedModel(single(["text"], []), {"text": text}, **parts, **sizes)
    built.build()
    return built


@functools.cache
def taught(encoder: str = "rgcn", injector: str = "soft_prompt", steps: int = 100) -> UnifiedModel:
    """Return a model that has learned to answer from the first `TAUGHT` questions; not to be changed."""
    built = model(encoder, injector)
    learner = torch.optim.Adam(built.parameters(), 3e-3)
    drawn = random.Random(0)
    for _ in range(steps):
        learner.zero_grad()
        total, count = built.losses(built.assemble(drawn.sample(asked()[:TAUGHT], 48)))[0]["text"]
        (total / count).backward()
        learner.step()
    return built.eval()
