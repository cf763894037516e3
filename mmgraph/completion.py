"""Missing modalities of a graph's nodes, filled in by a model that reads the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch

from mmgraph import generation
from mmgraph.graphs import GraphNode, MultimodalGraph
from mmgraph.models.unified import UnifiedModel
from mmgraph.sequence import Sample, Segment


def complete_graph(
    model: UnifiedModel,
    graph: MultimodalGraph,
    modality: Literal["text", "image"],
    *,
    nodes: Sequence[int] | None = None,
    missing_text: str = "a thing",
    seed: int = 0,
    batch_size: int = 64,
) -> MultimodalGraph:
    """Return the graph with texts or pictures for nodes that lack them, each from what else it has and its neighbours.

    All are made from the graph as it is given: what is filled in is never read for another node. Nodes that lack both
    are drawn from `missing_text`, and named from their neighbourhood alone.

    Args:
        model: A trained model with a graph part.
        graph: The graph; it stays as it is.
        modality: What is filled in.
        nodes: Which nodes; those that have it already get another. None: all that lack it.
        missing_text: What stands in a prompt where a node has no text.
        seed: Decides every draw.
        batch_size: Nodes filled in at once.
    """
    chosen = (~graph.present[modality]).nonzero().flatten().tolist() if nodes is None else list(nodes)
    task = "name" if modality == "text" else "draw"
    samples = []
    for node in chosen:
        shown = Segment("text", graph.text(node) or missing_text)
        if modality == "text":
            picture = graph.image(node)
            shown = Segment("image", picture) if picture is not None else Segment("text", "describe it .")
        first = Segment("graph", GraphNode(graph, node, 0, (modality,)))
        samples.append(Sample((first, shown, Segment(modality, None, target=True)), task, node))
    made: dict[int, Any] = {}
    with torch.no_grad():
        for start in range(0, len(samples), batch_size):
            batch = samples[start : start + batch_size]
            found = generation.complete(model, batch, seed=seed)
            made |= {sample.key: content for sample, content in zip(batch, found, strict=True)}
    texts = [graph.text(node) for node in range(graph.num_nodes)]
    pictures: dict[int, torch.Tensor] = made if modality == "image" else {}
    if modality == "text":
        texts = [made.get(node, text) for node, text in enumerate(texts)]

    def image(node: int) -> torch.Tensor:
        found = pictures[node] if node in pictures else graph.image(node)
        assert found is not None
        return found

    return MultimodalGraph(
        graph.data,
        graph.relations,
        texts=texts,
        images=[node in pictures or bool(graph.present["image"][node]) for node in range(graph.num_nodes)],
        image=image,
        splits={name: members.tolist() for name, members in graph.splits.items()},
        sources=graph.sources,
    )
