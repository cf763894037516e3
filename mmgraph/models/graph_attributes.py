"""What a sampler may choose neighbours by, in a batch: words and thumbnails of what the batch shows, and nothing else.

These features need no training. What is to be produced, held out or dropped is taken out of them by the same rules as
out of what the model reads: who is chosen would tell of it.
"""

from __future__ import annotations

import weakref
import zlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mmgraph.adjacency import Adjacency
from mmgraph.graph_samplers import GraphSampler, Neighbourhood
from mmgraph.graphs import MultimodalGraph
from mmgraph.leaks import VisibleAttributes

WORDS, THUMBNAIL = 256, 8
"""Numbers of a text's feature, and the side of a picture's."""

_Last = tuple[dict[str, Tensor], VisibleAttributes]
_last: weakref.WeakKeyDictionary[MultimodalGraph, dict[frozenset[str], _Last]] = weakref.WeakKeyDictionary()
_features: weakref.WeakKeyDictionary[MultimodalGraph, dict[str, Tensor]] = weakref.WeakKeyDictionary()


def features(graph: MultimodalGraph, modality: str) -> Tensor:
    r"""Return the features of one modality of all nodes `(N, d)`, zero for nodes that lack it; made once.

    Of a text the sum of a vector for each word, \( \pm e_{h(w)} \) with place and sign by a hash; of a picture its
    darkness in 8 by 8 places. Texts and pictures have places of their own, so that a text and a picture are as alike
    as two strangers, and two nodes as their texts and their pictures are.
    """
    known = _features.setdefault(graph, {})
    if modality not in known:
        found = torch.zeros(graph.num_nodes, WORDS + 3 * THUMBNAIL**2)
        for node in graph.present[modality].nonzero().flatten().tolist():
            if modality == "text":
                for word in str(graph.text(node)).lower().split():
                    number = zlib.crc32(word.encode())
                    found[node, number % WORDS] += 1.0 if number & 1 << 16 else -1.0
            else:
                image = graph.image(node)
                assert image is not None
                dark = 1 - image.float()[:3].expand(3, -1, -1) / 255
                found[node, WORDS:] = F.adaptive_avg_pool2d(dark, THUMBNAIL).flatten()
        known[modality] = found
    return known[modality]


def neighbours(
    sampler: GraphSampler,
    adjacency: Adjacency,
    nodes: Tensor,
    seeds: Tensor,
    graph: MultimodalGraph,
    left_out: Sequence[frozenset[str]],
    readable: Callable[[str, Tensor], Tensor],
    *,
    classes: Tensor | None,
) -> Neighbourhood:
    """Return the neighbours `(N, M)` that a sampler chooses.

    Args:
        sampler: Who chooses.
        adjacency: The edges.
        nodes: `(N,)`.
        seeds: `(N,)`.
        graph: Whose contents may be compared.
        left_out: Of each node, which modalities its neighbours may not be chosen by: what its sample asks for, and what
            was dropped.
        readable: Gives, for a modality and `(n,)` nodes, whose content the batch may show.
        classes: `(nodes of the graph,)` or None.
    """
    classes = classes if sampler.needs_classes else None
    if not sampler.needs_attributes:
        return sampler.sample(adjacency, nodes, seed=seeds, classes=classes)
    everyone = torch.arange(graph.num_nodes)
    found = Neighbourhood.empty(len(nodes), sampler.num_neighbours(adjacency))
    for modalities in dict.fromkeys(left_out):
        rows = torch.tensor([row for row, own in enumerate(left_out) if own == modalities])
        kept = [name for name in ("text", "image") if name not in modalities]
        present = {name: readable(name, everyone) for name in kept}
        visible = _visible(graph, modalities, present)
        part = sampler.sample(adjacency, nodes[rows], seed=seeds[rows], attributes=visible, classes=classes)
        for name, column in vars(found).items():
            column[rows] = getattr(part, name)
    return found


def _visible(graph: MultimodalGraph, targets: frozenset[str], present: dict[str, Tensor]) -> VisibleAttributes:
    """Return what nodes may be compared by; from batch to batch it is mostly the same, and then not made again."""
    if not present:
        return VisibleAttributes(torch.zeros(graph.num_nodes, 1), torch.zeros(graph.num_nodes, dtype=torch.bool))
    known = _last.setdefault(graph, {})
    before = known.get(targets)
    if before is None or not all(torch.equal(before[0][name], shown) for name, shown in present.items()):
        found = VisibleAttributes.of({name: features(graph, name) for name in present}, present, target=targets)
        known[targets] = before = (present, found)
    return before[1]
