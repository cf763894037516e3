"""Messages along edges and attention among all, with a walk's return probabilities (GPS, arXiv 2205.12454)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmgraph.errors import UsageError
from mmgraph.graph_encoders import GraphEncoder

DENSE = 2_000
"""Largest single graph whose walks are followed in a dense matrix."""


class GPSGraphEncoder(GraphEncoder):
    r"""PyG's `GPSConv`: in each layer a `GINConv` along the edges and attention among all nodes of the small graph.

    Attention alone knows no structure. So the features are joined by the probabilities
    \( (P^k)_{vv} \), \( k = 1 \dots K \), that a random walk from the node is back after k steps.

    Shapes:
        `(N, d)` to `(N, D)`.

    Args:
        num_layers: Number of layers.
        num_heads: Attention heads; D must be a multiple.
        walk_length: The longest walk K.
        dropout: Share of hidden units dropped in training.

    Raises:
        UsageError: If D is not a multiple of the heads.

    Reference:
        Rampasek et al., Recipe for a General, Powerful, Scalable Graph Transformer, 2022 (arXiv 2205.12454).
    """

    def __init__(
        self, num_layers: int = 2, *, num_heads: int = 4, walk_length: int = 8, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.walk_length = walk_length
        self.dropout = dropout

    def build(self, in_dim: int, dim: int, num_relations: int) -> None:
        """Create the layers."""
        from torch_geometric.nn import GINConv, GPSConv

        if dim % self.num_heads:
            raise UsageError(f"num_heads ({self.num_heads}) must divide the graph encoder's width {dim}.")
        self.project = nn.Linear(in_dim + self.walk_length, dim)
        self.layers = nn.ModuleList(
            GPSConv(
                dim,
                GINConv(nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim))),
                heads=self.num_heads,
                dropout=self.dropout,
                norm="layer_norm",
                norm_kwargs={"mode": "node"},  # across nodes it would join the small graphs of a batch
            )
            for _ in range(self.num_layers)
        )

    def forward(
        self, features: Tensor, edge_index: Tensor, edge_type: Tensor, graph: Tensor | None = None
    ) -> Tensor:
        """Return the tokens `(N, D)`."""
        returns = random_walk_encoding(edge_index, len(features), self.walk_length, graph)
        hidden = self.project(torch.cat((features, returns.to(features)), -1))
        for layer in self.layers:
            hidden = layer(hidden, edge_index, batch=graph)
        return hidden


def random_walk_encoding(edge_index: Tensor, num_nodes: int, length: int, graph: Tensor | None) -> Tensor:
    """Return the probabilities of being back after 1 to `length` steps, `(N, length)`.

    PyG's `AddRandomWalkPE`, but one small matrix for each small graph instead of one for the whole batch, and an edge
    that is there twice, by two relations, is twice as likely to be walked.
    """
    from torch_geometric.utils import to_dense_adj, to_dense_batch

    if graph is None and num_nodes > DENSE:
        ones = torch.ones(edge_index.shape[1], device=edge_index.device)
        step = torch.sparse_coo_tensor(edge_index, ones, (num_nodes, num_nodes)).coalesce()
        out = step.sum(1).to_dense().clamp(min=1)
        step = torch.sparse_coo_tensor(step.indices(), step.values() / out[step.indices()[0]], step.shape).coalesce()
        power, found = step, []
        for _ in range(length):
            loops = power.indices()[0] == power.indices()[1]
            found.append(torch.zeros_like(out).index_add(0, power.indices()[0][loops], power.values()[loops]))
            power = torch.sparse.mm(power, step).coalesce()
        return torch.stack(found, -1)
    small = graph if graph is not None else edge_index.new_zeros(num_nodes)
    dense = to_dense_adj(edge_index, small, batch_size=int(small.max()) + 1 if len(small) else 1)  # (B, n, n)
    dense = dense / dense.sum(-1, keepdim=True).clamp(min=1)
    walks, diagonals = dense, []
    for _ in range(length):
        diagonals.append(walks.diagonal(dim1=1, dim2=2))  # (B, n)
        walks = walks @ dense
    _, real = to_dense_batch(torch.zeros(num_nodes, 1, device=small.device), small, max_num_nodes=dense.shape[1])
    return torch.stack(diagonals, -1)[real]
