"""Which edges a graph encoder needs for an answer: PyG's `Explainer` with `GNNExplainer`, around the whole model."""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mmgraph.errors import UsageError
from mmgraph.evaluation import nodes
from mmgraph.models.assembly import Assembly
from mmgraph.models.unified import UnifiedModel
from mmgraph.sequence import Sample


@dataclass(frozen=True)
class MaskedEdge:
    """An edge of a node's small graph, and how much of it the answer needs.

    Args:
        sender: The node that a message comes from.
        receiver: The node that it goes to.
        relation: Its name.
        mask: From 0, not needed, to 1.
    """

    sender: int
    receiver: int
    relation: str
    mask: float


def explain_answer(
    model: UnifiedModel, sample: Sample, *, steps: int = 200, learning_rate: float = 0.05, seed: int = 0
) -> list[MaskedEdge]:
    r"""Return the edges that a model's answer about a node needs, the most needed first.

    `GNNExplainer` looks for a mask \( \sigma(m) \) of the messages under which the model still says what it says,
    with few edges and each mask near 0 or 1:

    \[ \min_m\; -\log p(\hat y \mid \sigma(m)) + \alpha \sum_e \sigma(m_e) + H(\sigma(m)) \]

    The model is copied and its weights stay fixed. Messages are masked, contents are not: an injector that reads
    neighbours beside the encoder still reads them.

    Args:
        model: In evaluation mode; its graph encoder passes messages by PyG's `MessagePassing`.
        sample: Asks for words about a node of a graph.
        steps: Steps of the search.
        learning_rate: Of the search.
        seed: The masks start at random.

    Raises:
        UsageError: If the encoder passes no messages, or the answer is no text.

    Reference:
        Ying et al., GNNExplainer: Generating Explanations for Graph Neural Networks, 2019 (arXiv 1903.03894).
    """
    from torch_geometric.explain import Explainer, GNNExplainer
    from torch_geometric.nn import MessagePassing

    encoder = model.graph.encoder if model.graph is not None else None
    if encoder is None or not any(isinstance(part, MessagePassing) for part in encoder.modules()):
        raise UsageError(
            "edges can be explained of a model whose graph encoder passes messages, such as "
            "mmgraph.graph_encoders.rgcn; for others, leave neighbours out (mmgraph.evaluation.neighbourhoods.look)."
        )
    head = nodes.head_of(model, [sample])
    if not model.head(head).discrete:
        raise UsageError(f"edges are explained for answers in words; the head '{head}' gives a picture.")
    with torch.no_grad():
        assembly = model.assemble([sample])
    if assembly.graph is None:
        raise UsageError(f"a sample of task '{sample.task}' has no node of a graph to look around; ask for another.")
    explained = copy.deepcopy(model).requires_grad_(False).eval()
    _one_propagation(explained)
    answer = _Answer(explained, assembly, head)
    batch = assembly.graph.batch
    explainer = Explainer(
        answer,
        GNNExplainer(epochs=steps, lr=learning_rate, edge_ent=0.0),
        explanation_type="model",
        edge_mask_type="object",
        model_config={"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"},
    )
    if not batch.edge_index.shape[1]:
        return []
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        mask = explainer(torch.zeros(len(batch.place), 1), batch.edge_index).edge_mask
    ends = batch.nodes[batch.place[batch.edge_index]].t().tolist()
    kinds = [assembly.graph.graph.relations[kind] for kind in batch.edge_type.tolist()]
    found = [
        MaskedEdge(sender, receiver, kind, float(value))
        for (sender, receiver), kind, value in zip(ends, kinds, mask, strict=True)
    ]
    return sorted(found, key=lambda edge: -edge.mask)


class _Answer(nn.Module):
    """A model as a function of the edges of one sample's small graph: scores of each word of its answer `(n, V)`.

    The features that PyG hands on are not read: the model makes those of its nodes itself.
    """

    def __init__(self, model: UnifiedModel, assembly: Assembly, head: str) -> None:
        super().__init__()
        self.model, self.assembly, self.head = model, assembly, head

    def forward(self, features: Tensor, edge_index: Tensor) -> Tensor:
        """Return the scores."""
        given: Any = self.assembly.graph
        given.batch, given.table = replace(given.batch, edge_index=edge_index), None
        hidden, _ = self.model.run(self.model.embed(self.assembly))
        scored = next(one for one in self.assembly.scored if one.head == self.head)
        return self.model.vocabulary.logits(scored.states(hidden.flatten(0, 1))[0])


def _one_propagation(model: nn.Module) -> None:
    """Put a convolution that sums over relations in one pass where `RGCNConv` is: one mask must fit all edges."""
    from torch_geometric.nn import RGCNConv

    for parent in list(model.modules()):
        for name, part in list(parent.named_children()):
            if type(part) is RGCNConv:
                same = _one_pass()(part.in_channels, part.out_channels, part.num_relations, part.num_bases)
                same.load_state_dict(part.state_dict())
                setattr(parent, name, same.requires_grad_(False).eval())


@functools.cache
def _one_pass() -> type[nn.Module]:
    from torch_geometric.nn import FastRGCNConv, MessagePassing

    class OnePass(FastRGCNConv):
        """PyG's `FastRGCNConv`, which can be explained."""

        # without its own, the one that was compiled for RGCNConv is inherited, and that knows no types of edges
        propagate = MessagePassing.propagate

    return OnePass
