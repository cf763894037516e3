"""A learned router sends each token to its best few of many feed-forwards (Mixtral), with losses that keep it fair.

Positions are sorted by expert and each expert reads its own at once: no token is dropped, and none is padded to a
capacity.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmgraph.blocks import Block
from mmgraph.cache import LayerCache
from mmgraph.errors import UsageError
from mmgraph.sequence import MODALITIES, Layout, MultimodalSequence
from mmgraph_blocks.experts import Routes
from mmgraph_blocks.layer import TimeInLayer, attend, check_heads, dropped, gated, inner_width, modulation, normalised


class FeedForward(nn.Module):
    """One expert: a SwiGLU feed-forward, named as the dense block names its own.

    Args:
        dim: Model width D.
        inner: Its hidden width.
    """

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.gate_and_up = nn.Linear(dim, 2 * inner, bias=False)
        self.down = nn.Linear(inner, dim, bias=False)

    def forward(self, read: Tensor) -> Tensor:
        """Return `(..., D)`."""
        return gated(read, self.gate_and_up.weight, self.down.weight)


class TopKMoEBlock(Block):
    r"""Dense attention, and a feed-forward that is the weighted sum of k experts chosen token by token.

    \[ y = \sum_{e \in \mathrm{top}_k(p)} \frac{p_e}{\sum_{e'} p_{e'}}\,\mathrm{FFN}_e(x), \qquad
       p = \mathrm{softmax}(W_r x) \]

    Without `normalized` the weights are the \(p_e\) themselves. With one expert a position (Switch) that is the only
    way for the task to train the router: \(p_e / p_e\) is 1 whatever it says.

    Two auxiliary losses, summed over the layers and logged as `balance` and `router_z` with their weights in them:

    \[ L_{balance} = w_b\, N \sum_{e=1}^{N} f_e P_e, \qquad
       L_z = w_z\, \frac{1}{T} \sum_t \Big(\log \sum_e e^{\,r_{te}}\Big)^2 \]

    with \(f_e\) the share of all choices that fell on expert e, \(P_e\) its mean probability, and \(r\) the router's
    logits. Both are over real positions only; \(L_{balance} / w_b\) is 1 where choices and probabilities are uniform.

    Shapes:
        hidden `(B, L, D)` to `(B, L, D)`.

    Args:
        num_heads: Attention heads; must divide the model width.
        num_experts: Feed-forwards N.
        top_k: How many of them each position meets.
        normalized: Whether the weights of the chosen experts sum to 1 (Mixtral) or are their probabilities (Switch).
        mlp_ratio: Hidden width of one expert over the model width, before the 2/3 of a gated unit. The active
            parameters are those of a dense block of `top_k` times this ratio.
        balance_weight: The w_b above; 0: off.
        router_z_weight: The w_z above; 0: off.
        dropout: Dropout on attention and feed-forward outputs.

    Raises:
        UsageError: If top_k is not between 1 and the number of experts.

    Reference:
        Jiang et al., Mixtral of Experts, 2024 (arXiv 2401.04088).
        Fedus et al., Switch Transformers, 2022 (arXiv 2101.03961; load balancing, one
            expert a position).
        Zoph et al., ST-MoE: Designing Stable and Transferable Sparse Expert Models, 2022 (arXiv 2202.08906; the
            router's z-loss).
    """

    def __init__(
        self,
        num_heads: int = 8,
        num_experts: int = 8,
        *,
        top_k: int = 2,
        normalized: bool = True,
        mlp_ratio: float = 2.0,
        balance_weight: float = 0.01,
        router_z_weight: float = 0.001,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not 1 <= top_k <= num_experts:
            raise UsageError(f"top_k {top_k} of {num_experts} experts cannot be; choose from 1 to {num_experts}.")
        self.num_heads = num_heads
        self.num_experts = num_experts
        self.top_k = top_k
        self.normalized = normalized
        self.mlp_ratio = mlp_ratio
        self.balance_weight = balance_weight
        self.router_z_weight = router_z_weight
        self.dropout = dropout
        self._seen: tuple[Tensor, Tensor, Tensor] | None = None  # probabilities, choices, modalities of real positions
        self._chosen: Tensor | None = None

    def spawn(self) -> TopKMoEBlock:
        """Return an unbuilt block with the same options."""
        return TopKMoEBlock(
            self.num_heads,
            self.num_experts,
            top_k=self.top_k,
            normalized=self.normalized,
            mlp_ratio=self.mlp_ratio,
            balance_weight=self.balance_weight,
            router_z_weight=self.router_z_weight,
            dropout=self.dropout,
        )

    def build(self, dim: int, condition_dim: int) -> None:
        """Create attention, router and experts.

        Raises:
            UsageError: If the heads do not divide the width.
        """
        check_heads(self.num_heads, dim)
        self.query_key_value = nn.Linear(dim, 3 * dim, bias=False)
        self.attention_output = nn.Linear(dim, dim, bias=False)
        self.router = nn.Linear(dim, self.num_experts, bias=False)
        inner = inner_width(dim, self.mlp_ratio)
        self.experts = nn.ModuleList(FeedForward(dim, inner) for _ in range(self.num_experts))
        if condition_dim:
            self.modulation = modulation(condition_dim, dim)

    @property
    def active_parameters(self) -> int:
        """Parameters that one position meets."""
        own = sum(parameter.numel() for parameter in self.experts.parameters())
        return sum(parameter.numel() for parameter in self.parameters()) - own + own // self.num_experts * self.top_k

    def route(self, layout: Layout) -> Tensor:
        """Return the experts of each position `(B, L, k)` in the last forward pass; -1 where it had another shape."""
        if self._chosen is not None and self._chosen.shape[:2] == layout.shape:
            return self._chosen
        return torch.full((*layout.shape, self.top_k), -1)

    def forward(
        self, hidden: Tensor, sequence: MultimodalSequence, cache: LayerCache | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the hidden states after attention and the chosen experts, and both auxiliary losses."""
        time = TimeInLayer(self, sequence)
        read = self.query_key_value(time.read(normalised(hidden), 0))
        mixed = self.attention_output(attend(read, self.num_heads, sequence, cache))
        hidden = hidden + time.gate(dropped(mixed, self.dropout, self.training), 0)
        changed, losses = self._feed_forward(time.read(normalised(hidden), 1), sequence.layout)
        return hidden + time.gate(dropped(changed, self.dropout, self.training), 1), losses

    def _feed_forward(self, read: Tensor, layout: Layout) -> tuple[Tensor, dict[str, Tensor]]:
        valid = layout.valid
        whole = bool(valid.all())
        tokens = read.flatten(0, 1) if whole else read[valid]  # (T, D): padding is routed nowhere
        logits = self.router(tokens).float()  # (T, N)
        probabilities = logits.softmax(-1)
        weights, chosen = probabilities.topk(self.top_k, dim=-1)  # (T, k)
        if self.normalized:
            weights = weights / weights.sum(-1, keepdim=True)
        found = self.mix(tokens, chosen, weights)
        self._note(probabilities, chosen, layout, valid)
        losses = {}
        if self.balance_weight:
            losses["balance"] = self.balance_weight * balance_loss(probabilities, chosen)
        if self.router_z_weight:
            losses["router_z"] = self.router_z_weight * router_z_loss(logits)
        if whole:
            return found.view(read.shape), losses
        return torch.zeros_like(read).masked_scatter(valid[..., None], found.to(read)), losses

    def mix(self, tokens: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        """Return the weighted sum `(T, D)` of the chosen experts.

        Args:
            tokens: `(T, D)`.
            chosen: Experts of each token, `(T, k)`.
            weights: Of each of them, `(T, k)`.
        """
        found = Routes(chosen, self.num_experts).apply(tokens, list(self.experts))  # (T * k, D)
        return (weights.to(found)[:, None] @ found.view(*chosen.shape, -1)).squeeze(1)

    @torch.no_grad()
    def _note(self, probabilities: Tensor, chosen: Tensor, layout: Layout, valid: Tensor) -> None:
        self._chosen = torch.full((*layout.shape, self.top_k), -1, device=chosen.device)
        self._chosen[valid] = chosen
        if self.training:
            self._seen = probabilities.detach(), chosen, layout.modality[valid]

    @torch.no_grad()
    def statistics(self) -> dict[str, Tensor]:
        """Return how the router divided the last training batch.

        `load_max` and `load_min` are the shares of the busiest and the idlest expert times their number (1: even);
        `routing_entropy` is that of a token's probabilities in nats, on average; `modality_purity` is the share of
        choices that fell on an expert whose tokens are mostly of the same modality (1: experts by modality).
        """
        if self._seen is None:
            return {}
        probabilities, chosen, modality = self._seen
        pairs = chosen * len(MODALITIES) + modality[:, None]
        size = self.num_experts * len(MODALITIES)
        counts = torch.bincount(pairs.flatten(), minlength=size).view(self.num_experts, -1).float()  # (N, modalities)
        load = counts.sum(1) / counts.sum() * self.num_experts
        entropy = torch.special.entr(probabilities).sum(-1).mean()
        return {
            "load_max": load.max(),
            "load_min": load.min(),
            "routing_entropy": entropy,
            "modality_purity": counts.amax(1).sum() / counts.sum(),
        }


def balance_loss(probabilities: Tensor, chosen: Tensor) -> Tensor:
    """Return the number of experts times the sum of each one's share of choices and mean probability.

    Args:
        probabilities: `(T, N)`.
        chosen: `(T, k)`.
    """
    experts = probabilities.shape[-1]
    share = torch.bincount(chosen.flatten(), minlength=experts) / chosen.numel()
    return experts * (share * probabilities.mean(0)).sum()


def router_z_loss(logits: Tensor) -> Tensor:
    """Return the mean square of the router's log-partition.

    Args:
        logits: `(T, N)`.
    """
    return logits.logsumexp(-1).square().mean()
