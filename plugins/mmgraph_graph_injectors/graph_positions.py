"""Node and neighbours as tokens, each with where it stands in the graph (MMGL's SA-E, arXiv 2310.07478)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from mmgraph.errors import UsageError, nearest
from mmgraph.graph_injectors import GraphInjector, NodeTokens

ENCODINGS = ("hop", "relation", "weight")
LEAST = 1e-4
"""Nearness below which neighbours are not told apart."""


class GraphPositionsInjector(GraphInjector):
    r"""The node's token and its neighbours', with graph positional encodings added.

    \[ z_u = W\,h_u + P[\mathrm{hop}_u] + R[\mathrm{relation}_u] + w \log \mathrm{weight}_u \]

    With the encoder `mlp` no message is passed: the model's own attention reads the neighbours, and the encodings
    alone say who is who. Encodings by random walks are in the encoder `gps`.

    Shapes:
        own `(N, D)` and neighbours `(N, M, D)` to `(N, 1 + M, D)`.

    Args:
        encodings: Which are added: `hop`, `relation`, `weight`; an empty list: none, neighbours as a set.
        max_hops: Neighbours farther away are not told apart by their hop.

    Raises:
        UsageError: If an encoding is unknown.

    Reference:
        Yoon et al., Multimodal Graph Learning for Generative Tasks, 2023 (arXiv 2310.07478).
    """

    def __init__(self, encodings: Sequence[str] = ENCODINGS, *, max_hops: int = 4) -> None:
        super().__init__()
        for name in encodings:
            if name not in ENCODINGS:
                raise UsageError(f"unknown encoding of graph_positions '{name}'. {nearest(name, ENCODINGS)}")
        self.encodings = tuple(encodings)
        self.max_hops = max_hops

    def build(self, dim: int, condition_dim: int, num_relations: int) -> None:
        """Create the tables and the projection."""
        self.projection = nn.Linear(dim, dim)
        tables: dict[str, nn.Module] = {
            "hop": nn.Embedding(self.max_hops + 1, dim),
            "relation": nn.Embedding(num_relations + 1, dim),
            "weight": nn.Linear(1, dim, bias=False),
        }
        self.tables = nn.ModuleDict({name: table for name, table in tables.items() if name in self.encodings})

    def num_tokens(self, neighbours: int) -> int:
        """Return one token for the node and one for each neighbour."""
        return 1 + neighbours

    def forward(self, nodes: NodeTokens) -> Tensor:
        """Return the tokens `(N, 1 + M, D)`."""
        tokens = self.projection(nodes.all[0])
        around, device = nodes.neighbourhood, tokens.device
        read = {
            "hop": around.hop.clamp_max(self.max_hops),
            "relation": around.relation + 1,
            "weight": around.weight.clamp_min(LEAST).log()[..., None],
        }
        for name, table in self.tables.items():
            tokens = tokens + F.pad(table(read[name].to(device)), (0, 0, 1, 0))
        return tokens
