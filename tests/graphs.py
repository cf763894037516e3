"""A graph of ten nodes and tiny models that read it, one for each injector."""

from __future__ import annotations

import torch
from torch_geometric.data import Data

from mmgraph import graph_injectors
from mmgraph.blocks import dense, gated_cross_attention
from mmgraph.graph_encoders import rgcn
from mmgraph.graph_samplers import GraphSampler, k_hop
from mmgraph.graphs import GraphNode, MultimodalGraph
from mmgraph.models import GraphContext, GraphControl, UnifiedModel
from mmgraph.sequence import Sample, Segment
from mmgraph.testing.stand_ins import pictures
from tests import tiny

INJECTORS = (
    "soft_prompt",
    "graph_q_former",
    "gated_cross_attention",
    "linearised_neighbours",
    "textual_graph",
    "adaln",
    "attention_bias",
    "graph_positions",
)
PAIRS = torch.tensor([[0, 1, 2, 3, 4, 0, 5, 6], [1, 2, 3, 4, 5, 3, 6, 7]])
TYPES = torch.tensor([0, 1, 0, 1, 0, 1, 0, 1])
SPLITS = {"train": [0, 1, 2, 3, 8], "val": [6], "test": [4, 5, 7, 9]}
"""Nodes 8 and 9 have no edges."""


def graph(texts: dict[int, str] | None = None, images: dict[int, torch.Tensor] | None = None) -> MultimodalGraph:
    """Return the graph; `texts` and `images` replace contents of single nodes."""
    words = [tiny.TEXTS[node % 4] for node in range(10)]
    shown = list(pictures(10, tiny.SIZE))
    for node, text in (texts or {}).items():
        words[node] = text
    for node, image in (images or {}).items():
        shown[node] = image
    data = Data(num_nodes=10)
    data.edge_index = torch.cat((PAIRS, PAIRS.flip(0)), 1)
    data.edge_type = torch.cat((TYPES, TYPES))
    data.y = torch.arange(10) % 3
    return MultimodalGraph(data, ["like", "unlike"], texts=words, images=shown, splits=SPLITS)


def model(
    name: str = "soft_prompt",
    *,
    control: GraphControl | None = None,
    sampler: GraphSampler | None = None,
    modalities: list[str] | None = None,
    **options: object,
) -> UnifiedModel:
    """Return a built tiny model with this injector."""
    injector = getattr(graph_injectors, name)()
    block = gated_cross_attention(dense(4), 4) if injector.place == "memory" else dense(4)
    context = GraphContext(
        sampler or k_hop(4),
        injector,
        encoder=rgcn(2) if injector.encodes else None,
        control=control,
        relations=["like", "unlike"],
        modalities=modalities,
    )
    return tiny.model(graph=context, block=block, max_text=128, **options)


def draw(of: MultimodalGraph, node: int, key: int = 0, **about: object) -> Sample:
    """Return a sample: the node's graph and text to its picture."""
    first = Segment("graph", GraphNode(of, node, 0, ("image",), **about))  # type: ignore[arg-type]
    return Sample((first, Segment("text", of.text(node)), tiny.aim(Segment("image", of.image(node)))), "draw", key)


def ask(of: MultimodalGraph, node: int, key: int = 0, hidden: tuple[str, ...] = ("image",)) -> Sample:
    """Return a sample: the node's graph and a question to an answer."""
    first = Segment("graph", GraphNode(of, node, 0, hidden))
    return Sample((first, Segment("text", "what is it ?"), tiny.aim(Segment("text", "yes"))), "ask", key)
