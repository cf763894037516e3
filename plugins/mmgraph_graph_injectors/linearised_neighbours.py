"""Neighbours written out before the node: their texts and pictures as ordinary context (MMGL, arXiv 2310.07478)."""

from __future__ import annotations

from torch import Tensor

from mmgraph.graph_injectors import GraphInjector, NodeTokens, Relative


class LinearisedNeighboursInjector(GraphInjector):
    """Each neighbour's text and picture in the sequence, behind one learned token for its hop and relation.

    The transformer reads contents itself; no graph encoder runs. The sequence grows with the neighbours, so few of
    them fit: choose them by the sampler.

    Shapes:
        hop and relation `(N, M)` to markers `(N, M, D)`; the contents become spans of the processor.

    Args:
        max_hops: Neighbours farther away are not told apart by their hop.

    Reference:
        Yoon et al., Multimodal Graph Learning for Generative Tasks, 2023 (arXiv 2310.07478), its SA-TE.
    """

    linearises = True
    encodes = False

    def __init__(self, max_hops: int = 4) -> None:
        super().__init__()
        self.max_hops = max_hops

    def build(self, dim: int, condition_dim: int, num_relations: int) -> None:
        """Create the tables."""
        self.relative = Relative(dim, num_relations, self.max_hops)

    def num_tokens(self, neighbours: int) -> int:
        """Return one marker for each neighbour."""
        return neighbours

    def forward(self, nodes: NodeTokens) -> Tensor:
        """Return the markers `(N, M, D)`."""
        return self.relative(nodes.neighbourhood)
