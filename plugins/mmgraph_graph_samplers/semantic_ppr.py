"""Near in the graph and alike in what can be seen (InstructG2I, arXiv 2410.07157)."""

from __future__ import annotations

import torch
from torch import Tensor

from mmgraph.adjacency import Adjacency
from mmgraph.errors import UsageError
from mmgraph.graph_samplers import GraphSampler, Neighbourhood
from mmgraph.leaks import VisibleAttributes
from mmgraph_graph_samplers.ppr import PPRSampler


class SemanticPPRSampler(GraphSampler):
    """The nodes of largest PageRank, ranked anew by the similarity of what is visible.

    Similarity is the cosine of `VisibleAttributes`, from which the modality that is to be produced was left out
    when they were made; there is no way to hand this sampler anything else. Candidates without visible features
    come last, and a node without any keeps the order of PageRank.

    Shapes:
        `(N,)` to `(N, size)`; the weight is the PageRank.

    Args:
        size: Most neighbours of a node.
        num_candidates: So many of largest PageRank are ranked.
        restart: As in `ppr`.
        tolerance: As in `ppr`.
        cache_nodes: As in `ppr`.
        cache_dir: As in `ppr`.

    Raises:
        UsageError: If there are fewer candidates than neighbours.

    Reference:
        Jin et al., InstructG2I: Synthesizing Images from Multimodal Attributed Graphs, 2024 (arXiv 2410.07157).
    """

    needs_attributes = True

    def __init__(
        self,
        size: int = 8,
        num_candidates: int = 32,
        *,
        restart: float = 0.15,
        tolerance: float = 1e-3,
        cache_nodes: int = 20_000,
        cache_dir: str | None = None,
    ) -> None:
        if not 1 <= size <= num_candidates:
            raise UsageError(f"size must be from 1 to num_candidates ({num_candidates}), not {size}.")
        self.size = size
        self.candidates = PPRSampler(
            num_candidates, restart, tolerance=tolerance, cache_nodes=cache_nodes, cache_dir=cache_dir
        )

    def num_neighbours(self, adjacency: Adjacency) -> int:
        """Return `size`."""
        return self.size

    def sample(
        self,
        adjacency: Adjacency,
        nodes: Tensor,
        *,
        seed: int | Tensor = 0,
        attributes: VisibleAttributes | None = None,
        classes: Tensor | None = None,
    ) -> Neighbourhood:
        """Return the most similar of the candidates, most similar first.

        Raises:
            UsageError: If no attributes are given.
        """
        if attributes is None:
            raise UsageError(
                "the sampler 'semantic_ppr' needs `attributes`, made by VisibleAttributes.of, which leaves the target "
                "out; where nothing is visible take 'ppr'."
            )
        found = self.candidates.sample(adjacency, nodes, seed=seed)
        features = attributes.features
        alike = torch.einsum("nd,nmd->nm", features[nodes], features[found.nodes])  # (N, M)
        comparable = attributes.visible[nodes][:, None] & attributes.visible[found.nodes]
        alike = torch.where(comparable, alike, torch.full_like(alike, -2.0))
        alike = torch.where(found.valid, alike, torch.full_like(alike, -3.0))
        order = alike.argsort(dim=1, descending=True, stable=True)[:, : self.size]  # (N, size)
        return Neighbourhood(*(part.gather(1, order) for part in (
            found.nodes, found.hop, found.relation, found.weight, found.valid
        )))  # fmt: skip
