"""Structure shifts the attention between a node and its neighbours (Graphormer, arXiv 2106.05234)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgraph.errors import UsageError
from mmgraph.graph_injectors import GraphInjector, NodeTokens
from mmgraph.graph_samplers import Neighbourhood

LEAST = 1e-4
"""Nearness below which neighbours are not told apart."""


class AttentionBiasInjector(GraphInjector):
    r"""Node and neighbours attend to each other, with scores shifted by hop, relation and nearness.

    \[ a_{ij} = \frac{q_i \cdot k_j}{\sqrt{d}} + H[\mathrm{hop}_i, \mathrm{hop}_j] + R[\mathrm{relation}_j]
       + w \log \mathrm{weight}_j \]

    for each head, all shifts zero at the start. What comes out stands in the sequence, one token a node. The bias is
    in the attention of these layers, over one neighbourhood; the blocks of the model attend as they always do. With
    the encoder `mlp` no message is passed, and structure guides attention only.

    Shapes:
        own `(N, D)` and neighbours `(N, M, D)` to `(N, 1 + M, D)`.

    Args:
        num_layers: Attention layers.
        num_heads: Heads of each; must divide the model width.
        max_hops: Neighbours farther away are not told apart by their hop.

    Raises:
        UsageError: If a number is out of range.

    Reference:
        Ying et al., Do Transformers Really Perform Bad for Graph Representation?, 2021 (arXiv 2106.05234).
        Ning et al., Graph4MM, 2025 (arXiv 2510.16990).
    """

    def __init__(self, num_layers: int = 1, num_heads: int = 4, *, max_hops: int = 4) -> None:
        super().__init__()
        if num_layers < 1:
            raise UsageError(f"attention_bias needs at least 1 layer, not {num_layers}.")
        self.num_layers, self.num_heads, self.max_hops = num_layers, num_heads, max_hops

    def build(self, dim: int, condition_dim: int, num_relations: int) -> None:
        """Create the layers.

        Raises:
            UsageError: If the heads do not divide the width.
        """
        if dim % self.num_heads:
            raise UsageError(f"num_heads {self.num_heads} of attention_bias must divide the model width {dim}.")
        sizes = (dim, self.num_heads, num_relations, self.max_hops)
        self.layers = nn.ModuleList(Layer(*sizes) for _ in range(self.num_layers))

    def num_tokens(self, neighbours: int) -> int:
        """Return one token for the node and one for each neighbour."""
        return 1 + neighbours

    def forward(self, nodes: NodeTokens) -> Tensor:
        """Return the tokens `(N, 1 + M, D)`."""
        tokens, valid = nodes.all
        for layer in self.layers:
            tokens = layer(tokens, valid, nodes.neighbourhood)
        return tokens


class Layer(nn.Module):
    """Self-attention with a structural bias, then a feed-forward.

    Args:
        dim: Width D.
        num_heads: Heads H.
        num_relations: Number of relations; one more stands for none.
        max_hops: Neighbours farther away share the last row; row 0 is for the node and for who has no path to it.
    """

    def __init__(self, dim: int, num_heads: int, num_relations: int, max_hops: int) -> None:
        super().__init__()
        self.num_heads, self.max_hops = num_heads, max_hops
        self.norm, self.second_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query_key_value = nn.Linear(dim, 3 * dim, bias=False)
        self.output = nn.Linear(dim, dim, bias=False)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.hop = nn.Parameter(torch.zeros(max_hops + 1, max_hops + 1, num_heads))
        self.relation = nn.Parameter(torch.zeros(num_relations + 1, num_heads))
        self.weight = nn.Parameter(torch.zeros(num_heads))

    def bias(self, neighbourhood: Neighbourhood) -> Tensor:
        """Return the shifts `(N, H, 1 + M, 1 + M)`."""
        device = self.hop.device
        hop = F.pad(neighbourhood.hop.clamp_max(self.max_hops), (1, 0)).to(device)
        relation = F.pad(neighbourhood.relation + 1, (1, 0)).to(device)  # row 0: no relation
        near = F.pad(neighbourhood.weight.clamp_min(LEAST).log(), (1, 0)).to(device)
        pairs = self.hop[hop[:, :, None], hop[:, None]]  # (N, 1 + M, 1 + M, H)
        columns = self.relation[relation] + near[..., None] * self.weight  # (N, 1 + M, H)
        return (pairs + columns[:, None]).permute(0, 3, 1, 2)

    def forward(self, tokens: Tensor, valid: Tensor, neighbourhood: Neighbourhood) -> Tensor:
        """Return the tokens `(N, 1 + M, D)`, those where `valid` is False read by nobody."""
        rows, length, dim = tokens.shape
        found = self.query_key_value(self.norm(tokens)).view(rows, length, 3, self.num_heads, -1)
        query, key, value = found.permute(2, 0, 3, 1, 4)
        bias = self.bias(neighbourhood).masked_fill(~valid[:, None, None], float("-inf")).to(query.dtype)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        tokens = tokens + self.output(mixed.transpose(1, 2).reshape(rows, length, dim))
        return tokens + self.mlp(self.second_norm(tokens))
