"""A diffusion transformer of ours beside diffusers', of one size: patches, layers with adaLN-zero, and back."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mmgraph.denoisers import dit
from tests.benchmarks.measuring import Side
from tests.benchmarks.ours import count
from tests.benchmarks.sizes import Sizes

BATCHES = 4
CHANNELS, PATCH = 4, 2


def ours(sizes: Sizes) -> Side:
    """Ours is told by one vector, diffusers' by a class."""
    network = dit(sizes.dim, sizes.depth, num_heads=sizes.num_heads, patch_size=PATCH)
    network.build(CHANNELS, (PATCH * sizes.side, PATCH * sizes.side), sizes.dim)
    told = torch.randn(sizes.batch, 1, sizes.dim)
    time = torch.linspace(0, 1, sizes.batch)
    return Side(_training(network, lambda x: network(x, time, told), sizes), count(network))


def theirs(sizes: Sizes) -> Side:
    from diffusers import DiTTransformer2DModel

    network = DiTTransformer2DModel(
        sizes.num_heads,
        sizes.dim // sizes.num_heads,
        in_channels=CHANNELS,
        num_layers=sizes.depth,
        sample_size=PATCH * sizes.side,
        patch_size=PATCH,
        num_embeds_ada_norm=16,
    )
    steps, classes = torch.arange(sizes.batch) % 16, torch.arange(sizes.batch) % 16

    def predict(x: Tensor) -> Tensor:
        return network(x, steps, classes, return_dict=False)[0]

    return Side(_training(network, predict, sizes), count(network))


def _training(network: torch.nn.Module, predict: Callable[[Tensor], Tensor], sizes: Sizes) -> Callable[[int], None]:
    torch.manual_seed(0)
    side = PATCH * sizes.side
    batches = torch.randn(BATCHES, sizes.batch, CHANNELS, side, side)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def run(steps: int) -> None:
        for step in range(steps):
            optimizer.zero_grad()
            (predict(batches[step % BATCHES]) - batches[step % BATCHES]).square().mean().backward()
            optimizer.step()

    return run
