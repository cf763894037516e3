"""The graph as part of the conditioning, beside the noise level (DiT, arXiv 2212.09748)."""

from __future__ import annotations

from torch import Tensor, nn

from mmgraph.graph_injectors import GraphInjector, NodeTokens


class AdaLNInjector(GraphInjector):
    r"""The node's token added to the embedding of the time: \( c = e(t) + W h_v \), W zero at the start.

    It modulates what is denoised and takes no position in the sequence. Answers have no time, so it cannot help them:
    the control for "helps both".

    Shapes:
        own `(N, D)` to `(N, 1, condition_dim)`.

    Reference:
        Peebles and Xie, Scalable Diffusion Models with Transformers, 2023 (arXiv 2212.09748).
    """

    place = "condition"

    def __init__(self) -> None:
        super().__init__()

    def build(self, dim: int, condition_dim: int, num_relations: int) -> None:
        """Create the map."""
        self.norm = nn.LayerNorm(dim)
        self.projection = nn.Linear(dim, condition_dim)
        nn.init.zeros_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)

    def num_tokens(self, neighbours: int) -> int:
        """Return 1."""
        return 1

    def forward(self, nodes: NodeTokens) -> Tensor:
        """Return the change of the conditioning `(N, 1, condition_dim)`."""
        return self.projection(self.norm(nodes.own))[:, None]
