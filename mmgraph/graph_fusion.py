"""Texts and pictures of nodes into one graph encoder: before, beside, or through experts.

Nodes that lack a modality, and targets whose content is hidden, have a learned vector in its place.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from mmgraph.configured import Configured
from mmgraph.errors import UsageError
from mmgraph.graph_encoders import GraphEncoder


class FusedGraphEncoder(Configured, nn.Module):
    r"""Features of several modalities and typed edges to node tokens.

    `early`: the projected modalities stand side by side in one graph, \( h = G([P_t t, P_i i]) \).
    `per_modality`: each has an encoder of its own, \( h = W [G_t(P_t t), G_i(P_i i)] \), as different neighbours may
    matter for words and for looks.
    `experts`: each projected modality passes through a gated mixture of shared experts,
    \( z_m = \sum_k \mathrm{softmax}(R\,P_m m)_k\,E_k(P_m m) \), which aligns their spaces, then as in `early`.

    Shapes:
        `{m: (N, d_m)}` to `(N, D)`.

    Args:
        encoder: The graph encoder; `per_modality` makes a copy for each.
        fusion: `early`, `per_modality` or `experts`.
        num_experts: Experts K, with `experts`.

    Raises:
        UsageError: If a number or name is out of range.

    Reference:
        Wei et al., MMGCN, 2019 (doi 10.1145/3343031.3351034) for `per_modality`; He et al., UniGraph2, 2025
        (arXiv 2502.00806) for `experts`.
    """

    def __init__(
        self,
        encoder: GraphEncoder,
        fusion: Literal["early", "per_modality", "experts"] = "early",
        *,
        num_experts: int = 4,
    ) -> None:
        super().__init__()
        if fusion not in ("early", "per_modality", "experts"):
            raise UsageError(f"fusion must be early, per_modality or experts, not '{fusion}'.")
        if num_experts < 1:
            raise UsageError(f"num_experts must be at least 1, not {num_experts}.")
        self.encoder = encoder
        self.fusion = fusion
        self.num_experts = num_experts

    def build(self, in_dims: Mapping[str, int], dim: int, num_relations: int) -> None:
        """Create the parameters for these widths by modality."""
        self.modalities = tuple(in_dims)
        self.project = nn.ModuleDict({name: nn.Linear(width, dim) for name, width in in_dims.items()})
        self.null = nn.ParameterDict({name: nn.Parameter(0.02 * torch.randn(dim)) for name in in_dims})
        if self.fusion == "per_modality":
            self.encoders = nn.ModuleDict({name: copy.deepcopy(self.encoder) for name in in_dims})
            for each in self.encoders.values():
                each.build(dim, dim, num_relations)  # type: ignore[operator]
            self.join = nn.Linear(dim * len(in_dims), dim)
            return
        if self.fusion == "experts":
            self.gate = nn.Linear(dim, self.num_experts)
            self.experts = nn.ModuleList(
                nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim)) for _ in range(self.num_experts)
            )
        self.encoder.build(dim * len(in_dims), dim, num_relations)

    def forward(
        self,
        features: Mapping[str, Tensor],
        present: Mapping[str, Tensor],
        edge_index: Tensor,
        edge_type: Tensor,
        graph: Tensor | None = None,
    ) -> Tensor:
        """Return the tokens `(N, D)`.

        Args:
            features: `(N, d_m)` of each modality; what stands where `present` is False is not read.
            present: `(N,)` bool of each modality.
            edge_index: `(2, E)`.
            edge_type: `(E,)`.
            graph: `(N,)`, which small graph each node is of; None: all of one.
        """
        parts = []
        for name in self.modalities:
            seen = present[name][:, None]
            # zeroed before the projection: nothing of a hidden content, not even a NaN, may pass
            held = self.project[name](torch.where(seen, features[name], torch.zeros_like(features[name])))
            parts.append(torch.where(seen, held, self.null[name]))
        if self.fusion == "per_modality":
            tokens = [
                self.encoders[name](part, edge_index, edge_type, graph)
                for name, part in zip(self.modalities, parts, strict=True)
            ]
            return self.join(torch.cat(tokens, -1))
        if self.fusion == "experts":
            parts = [self._mixed(part) for part in parts]
        return self.encoder(torch.cat(parts, -1), edge_index, edge_type, graph)

    def _mixed(self, part: Tensor) -> Tensor:
        share = self.gate(part).softmax(-1)  # (N, K)
        return torch.stack([share[:, k, None] * each(part) for k, each in enumerate(self.experts)]).sum(0)
