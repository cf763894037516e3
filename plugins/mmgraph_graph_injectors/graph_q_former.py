"""Learned queries read each node's contents, then all nodes (GraphGPT-o, arXiv 2502.11925)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgraph.errors import UsageError
from mmgraph.graph_injectors import GraphInjector, NodeTokens, Relative


class GraphQFormerInjector(GraphInjector):
    r"""Two readings by learned queries: of a node's words and patches, then of all nodes around.

    \[ z_u = h_u + \mathrm{Cross}(q^{node}, c_u) + r_u, \qquad
       [p_1 \dots p_k] = \mathrm{FFN}(q^{graph} + \mathrm{Cross}(q^{graph}, \{z_u\})) \]

    with c the embedded contents of a node, h its token from the graph encoder, and r its hop and relation. The number
    of tokens does not depend on the number of neighbours.

    Shapes:
        contents `(U, n, D)`, own `(N, D)` and neighbours `(N, M, D)` to `(N, k, D)`.

    Args:
        num_tokens: Graph queries k.
        num_heads: Heads of both attentions; must divide the model width.
        max_hops: Neighbours farther away are not told apart by their hop.

    Raises:
        UsageError: If a number is out of range.

    Reference:
        Fang et al., GraphGPT-o, 2025 (arXiv 2502.11925). Jin et al., InstructG2I, 2024 (arXiv 2410.07157).
    """

    def __init__(self, num_tokens: int = 4, num_heads: int = 4, *, max_hops: int = 4) -> None:
        super().__init__()
        if num_tokens < 1:
            raise UsageError(f"a graph Q-Former needs at least 1 query, not {num_tokens}.")
        self.count = num_tokens
        self.num_heads = num_heads
        self.max_hops = max_hops

    def build(self, dim: int, condition_dim: int, num_relations: int) -> None:
        """Create queries and attentions.

        Raises:
            UsageError: If the heads do not divide the width.
        """
        if dim % self.num_heads:
            raise UsageError(f"num_heads {self.num_heads} of the graph Q-Former must divide the model width {dim}.")
        self.relative = Relative(dim, num_relations, self.max_hops)
        self.node_query = nn.Embedding(1, dim)
        self.graph_queries = nn.Embedding(self.count, dim)
        self.node = Reading(dim, self.num_heads)
        self.graph = Reading(dim, self.num_heads)
        self.mlp = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def num_tokens(self, neighbours: int) -> int:
        """Return k."""
        return self.count

    def forward(self, nodes: NodeTokens) -> Tensor:
        """Return the tokens `(N, k, D)`."""
        tokens, valid = nodes.all  # (N, 1 + M, D)
        read = self.node(self.node_query.weight.expand(len(nodes.contents), 1, -1), nodes.contents, nodes.visible)[:, 0]
        related = F.pad(self.relative(nodes.neighbourhood), (0, 0, 1, 0))
        around = tokens + read[nodes.places] + related
        queries = self.graph_queries.weight.expand(len(tokens), -1, -1)
        queries = queries + self.graph(queries, around, valid)
        return queries + self.mlp(queries)


class Reading(nn.Module):
    """Cross-attention with normed inputs; a row that sees nothing reads zero.

    Args:
        dim: Width D.
        num_heads: Heads H.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query_norm, self.key_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim, bias=False)
        self.key_value = nn.Linear(dim, 2 * dim, bias=False)
        self.output = nn.Linear(dim, dim, bias=False)

    def forward(self, queries: Tensor, keys: Tensor, visible: Tensor) -> Tensor:
        """Return what queries `(N, k, D)` read of keys `(N, m, D)` where `visible (N, m)` says so."""
        rows, k, dim = queries.shape
        query = self.query(self.query_norm(queries)).view(rows, k, self.num_heads, -1).transpose(1, 2)
        pairs = self.key_value(self.key_norm(keys)).view(rows, keys.shape[1], 2, self.num_heads, -1)
        key, value = pairs.permute(2, 0, 3, 1, 4)  # 2 x (N, H, m, K)
        sees = visible.any(1)
        mask = (visible | ~sees[:, None])[:, None, None]  # softmax over nothing is NaN; it is dropped below
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        read = self.output(mixed.transpose(1, 2).reshape(rows, k, dim))
        return torch.where(sees[:, None, None], read, torch.zeros_like(read))
