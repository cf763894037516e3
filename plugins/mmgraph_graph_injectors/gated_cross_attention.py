"""Nodes stand beside the sequence, and gated cross-attention looks at them (MMGL's CA-E, arXiv 2310.07478)."""

from __future__ import annotations

from torch import Tensor, nn

from mmgraph.graph_injectors import GraphInjector, NodeTokens, Relative


class GatedCrossAttentionInjector(GraphInjector):
    r"""The node's token and those of its neighbours as memory, each neighbour with its hop and relation.

    \[ z_u = W\,\mathrm{LayerNorm}(h_u) + P[\mathrm{hop}_u] + R[\mathrm{relation}_u] \]

    Needs blocks that cross-attend, such as `mmgraph.blocks.gated_cross_attention`, whose gates start at zero: at step
    0 the model is the one without a graph.

    Shapes:
        own `(N, D)` and neighbours `(N, M, D)` to `(N, 1 + M, D)`.

    Args:
        max_hops: Neighbours farther away are not told apart by their hop.

    Reference:
        Yoon et al., Multimodal Graph Learning for Generative Tasks, 2023 (arXiv 2310.07478).
        Alayrac et al., Flamingo, 2022 (arXiv 2204.14198).
    """

    place = "memory"

    def __init__(self, max_hops: int = 4) -> None:
        super().__init__()
        self.max_hops = max_hops

    def build(self, dim: int, condition_dim: int, num_relations: int) -> None:
        """Create the tables, the norm and the projection."""
        self.relative = Relative(dim, num_relations, self.max_hops)
        self.norm = nn.LayerNorm(dim)
        self.projection = nn.Linear(dim, dim)

    def num_tokens(self, neighbours: int) -> int:
        """Return one token for the node and one for each neighbour."""
        return 1 + neighbours

    def forward(self, nodes: NodeTokens) -> Tensor:
        """Return the tokens `(N, 1 + M, D)`."""
        tokens = self.projection(self.norm(nodes.all[0]))
        return tokens + nn.functional.pad(self.relative(nodes.neighbourhood), (0, 0, 1, 0))
