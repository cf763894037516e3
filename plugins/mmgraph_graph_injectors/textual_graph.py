"""A soft prompt pooled from the graph encoder, then the neighbours written out (G-Retriever, arXiv 2402.07630)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmgraph.errors import UsageError
from mmgraph.graph_injectors import GraphInjector, NodeTokens, Relative


class TextualGraphInjector(GraphInjector):
    r"""What was retrieved, twice: pooled as k tokens, then each neighbour's contents, hop and relation before it.

    \[ [p_1 \dots p_k] = W_2\,\mathrm{GELU}(W_1\,[\mathrm{LayerNorm}(h_v),
       \mathrm{LayerNorm}(\tfrac{1}{1 + M} \sum_u h_u)]) \]

    with the sum over the node v and its M neighbours. The tokens p tell what messages made of the whole, the contents
    what each neighbour says. The paper asks about a whole subgraph and pools alone; here the question is about v, which
    its own token must tell from the others. With `modalities: [text]` of the graph part only texts are written, as in
    the paper.

    Shapes:
        own `(N, D)` and neighbours `(N, M, D)` to prompt and markers `(N, k + M, D)`; the contents become spans of
        the processor.

    Args:
        num_tokens: Tokens k of the prompt.
        max_hops: Neighbours farther away are not told apart by their hop.

    Raises:
        UsageError: If the prompt would have no token.

    Reference:
        He et al., G-Retriever, 2024 (arXiv 2402.07630).
    """

    linearises = True

    def __init__(self, num_tokens: int = 4, max_hops: int = 4) -> None:
        super().__init__()
        if num_tokens < 1:
            raise UsageError(f"the soft prompt of textual_graph needs at least 1 token, not {num_tokens}.")
        self.leading = num_tokens
        self.max_hops = max_hops

    def build(self, dim: int, condition_dim: int, num_relations: int) -> None:
        """Create the perceptron and the tables."""
        self.dim = dim
        self.relative = Relative(dim, num_relations, self.max_hops)
        self.own_norm, self.norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.layers = nn.Sequential(nn.Linear(2 * dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, self.leading * dim))

    def num_tokens(self, neighbours: int) -> int:
        """Return the prompt's tokens and one marker for each neighbour."""
        return self.leading + neighbours

    def forward(self, nodes: NodeTokens) -> Tensor:
        """Return prompt and markers `(N, k + M, D)`."""
        tokens, valid = nodes.all  # (N, 1 + M, D), (N, 1 + M)
        shown = torch.where(valid[..., None], tokens, torch.zeros_like(tokens))
        pooled = shown.sum(1) / valid.sum(1, keepdim=True)
        both = torch.cat((self.own_norm(nodes.own), self.norm(pooled)), 1)  # (N, 2 D)
        prompt = self.layers(both).view(len(pooled), self.leading, self.dim)
        return torch.cat((prompt, self.relative(nodes.neighbourhood)), 1)
