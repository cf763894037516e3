"""Blocks with experts beside the dense one of equal active parameters, and the routed layer alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mmgraph.blocks import Block, dense, experts_by_modality, experts_by_role, moe_topk
from mmgraph.sequence import Piece, lay_out
from tests.benchmarks.measuring import Side
from tests.benchmarks.ours import BareLoop, count, mixed_batches, mixed_model
from tests.benchmarks.sizes import Sizes

BATCHES = 4
NUM_EXPERTS, TOP_K = 8, 2


def _mixed(sizes: Sizes, block: Block, ragged: bool = False) -> Side:
    """Train on texts and pictures."""
    model = mixed_model(sizes, block)
    idle = sum(count(part) - getattr(part, "active_parameters", count(part)) for part in model.blocks)
    return Side(BareLoop(model, mixed_batches(sizes, ragged)).run, count(model) - idle)


def shared(sizes: Sizes) -> Side:
    return _mixed(sizes, dense(sizes.num_heads))


def by_modality(sizes: Sizes) -> Side:
    return _mixed(sizes, experts_by_modality(sizes.num_heads))


def by_role(sizes: Sizes) -> Side:
    return _mixed(sizes, experts_by_role(sizes.num_heads))


def shared_ragged(sizes: Sizes) -> Side:
    return _mixed(sizes, dense(sizes.num_heads), ragged=True)


def by_modality_ragged(sizes: Sizes) -> Side:
    return _mixed(sizes, experts_by_modality(sizes.num_heads), ragged=True)


def topk(sizes: Sizes) -> Side:
    """Each expert has half the width, as each position meets two."""
    return _mixed(sizes, moe_topk(sizes.num_heads, NUM_EXPERTS, top_k=TOP_K, mlp_ratio=4.0 / TOP_K))


def layer(sizes: Sizes) -> Side:
    """Run the routed feed-forward alone, forward and backward, both auxiliary losses among it."""
    block = moe_topk(sizes.num_heads, NUM_EXPERTS, top_k=TOP_K, mlp_ratio=2.0)
    block.build(sizes.dim, 0)
    layout, _ = lay_out([[(Piece(sizes.length),)]] * sizes.batch)

    def forward(tokens: Tensor) -> Tensor:
        found, losses = block._feed_forward(tokens, layout)
        return found.square().mean() + losses["balance"] + losses["router_z"]

    return Side(backward(forward, sizes), count(block.experts) + count(block.router))


def backward(forward: Callable[[Tensor], Tensor], sizes: Sizes) -> Callable[[int], None]:
    """Return what runs a function of hidden states forward and backward."""
    torch.manual_seed(0)
    batches = torch.randn(BATCHES, sizes.batch, sizes.length, sizes.dim)

    def run(steps: int) -> None:
        for step in range(steps):
            forward(batches[step % BATCHES].requires_grad_()).backward()

    return run
