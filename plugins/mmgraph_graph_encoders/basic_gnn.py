"""Any of PyG's ready-made networks, by name."""

from __future__ import annotations

from torch import Tensor

from mmgraph.errors import UsageError, nearest
from mmgraph.graph_encoders import GraphEncoder

Option = bool | int | float | str


class BasicGNNGraphEncoder(GraphEncoder):
    """A class of `torch_geometric.nn.models` that derives from `BasicGNN`: GCN, GIN, GraphSAGE, GAT, EdgeCNN, PNA.

    Relations are not read.

    Shapes:
        `(N, d)` to `(N, D)`.

    Args:
        network: Name of the class.
        num_layers: Number of layers.
        options: Further options of the class, for example `{dropout: 0.1, norm: layer_norm, jk: cat}`. A norm over
            the nodes of the whole batch joins its small graphs.

    Raises:
        UsageError: If there is no such network, or it does not take an option.

    Reference:
        Fey and Lenssen, Fast Graph Representation Learning with PyTorch Geometric, 2019 (arXiv 1903.02428).
    """

    def __init__(
        self,
        network: str = "GCN",
        num_layers: int = 2,
        *,
        options: dict[str, Option | list[str] | dict[str, Option]] | None = None,
    ) -> None:
        super().__init__()
        self.network_name = network
        self.num_layers = num_layers
        self.options = dict(options or {})

    def build(self, in_dim: int, dim: int, num_relations: int) -> None:
        """Create the network."""
        from torch_geometric.nn import models
        from torch_geometric.nn.models.basic_gnn import BasicGNN

        classes = {name: found for name in dir(models) if isinstance(found := getattr(models, name), type)}
        known = {name: found for name, found in classes.items() if issubclass(found, BasicGNN) and found != BasicGNN}
        if self.network_name not in known:
            raise UsageError(f"PyG has no basic network '{self.network_name}'. {nearest(self.network_name, known)}")
        try:
            self.network = known[self.network_name](in_dim, dim, self.num_layers, dim, **self.options)
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"PyG's {self.network_name} cannot be made with the options {self.options}: {error}."
            ) from None

    def forward(
        self, features: Tensor, edge_index: Tensor, edge_type: Tensor, graph: Tensor | None = None
    ) -> Tensor:
        """Return the tokens `(N, D)`."""
        return self.network(features, edge_index)
