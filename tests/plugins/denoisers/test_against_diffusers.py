"""The layers against diffusers' own, with the same weights."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from mmgraph_denoisers.dit import DiTLayer
from mmgraph_denoisers.mmdit import JointLayer
from mmgraph_denoisers.patches import places
from torch import nn
from torch.nn import functional as F

from mmgraph.denoisers import dit, unet
from mmgraph.testing.suite import close, stir

DIM, HEADS, ROWS, LENGTH, TOLD = 32, 4, 2, 9, 5


def copied(target: nn.Linear, *sources: nn.Linear) -> None:
    """Fill one layer with several beside each other."""
    with torch.no_grad():
        target.weight.copy_(torch.cat([source.weight for source in sources]))
        target.bias.copy_(torch.cat([source.bias for source in sources]))


def copied_mlp(target: nn.Sequential, source: nn.Module) -> None:
    copied(target[0], source.net[0].proj)
    copied(target[2], source.net[2])


def tensors() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = ((ROWS, LENGTH, DIM), (ROWS, DIM), (ROWS, TOLD, DIM))
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


def peer_layer(**options):
    from diffusers.models.attention import BasicTransformerBlock

    peer = BasicTransformerBlock(
        DIM,
        HEADS,
        DIM // HEADS,
        activation_fn="gelu-approximate",
        attention_bias=True,
        norm_elementwise_affine=False,
        norm_eps=1e-6,
        **options,
    )
    stir(peer)
    return peer.eval()


def told_by(peer: nn.Module, condition: torch.Tensor) -> None:
    """Put a condition in place of what diffusers makes of a step and a class."""
    vars(peer.norm1)["emb"] = lambda *_, **__: condition


def filled(layer: DiTLayer, peer: nn.Module) -> DiTLayer:
    copied(layer.query_key_value, peer.attn1.to_q, peer.attn1.to_k, peer.attn1.to_v)
    copied(layer.attention_output, peer.attn1.to_out[0])
    copied_mlp(layer.mlp, peer.ff)
    return layer.eval()


def test_a_layer_with_adaln():
    peer = peer_layer(norm_type="ada_norm_zero", num_embeds_ada_norm=10)
    hidden, condition, told = tensors()
    told_by(peer, condition)
    layer = filled(DiTLayer(DIM, HEADS, 4 * DIM, "adaln"), peer)
    copied(layer.modulation, peer.norm1.linear)
    found = layer(hidden, nn.functional.silu(condition), told, None)
    assert close(found, peer(hidden, timestep=torch.zeros(ROWS), class_labels=torch.zeros(ROWS)), 1e-5)


def test_a_layer_with_cross_attention():
    peer = peer_layer(norm_type="ada_norm_single", cross_attention_dim=DIM)
    hidden, condition, told = tensors()
    layer = filled(DiTLayer(DIM, HEADS, 4 * DIM, "cross_attention"), peer)
    copied(layer.query, peer.attn2.to_q)
    copied(layer.key_value, peer.attn2.to_k, peer.attn2.to_v)
    copied(layer.cross_output, peer.attn2.to_out[0])
    with torch.no_grad():
        layer.table.copy_(peer.scale_shift_table.flatten())
    shared = condition.repeat(1, 6)
    mask = torch.tensor([[True] * TOLD, [True] * 2 + [False] * (TOLD - 2)])
    bias = (~mask[:, None]) * -1e9
    found = layer(hidden, shared, told, mask)
    wanted = peer(hidden, encoder_hidden_states=told, encoder_attention_mask=bias, timestep=shared)
    assert close(found, wanted, 1e-5)


@pytest.mark.parametrize("last", [False, True])
def test_a_layer_of_two_streams(last):
    from diffusers.models.attention import JointTransformerBlock

    peer = JointTransformerBlock(DIM, HEADS, DIM // HEADS, context_pre_only=last).eval()
    stir(peer)
    layer = JointLayer(DIM, HEADS, 4 * DIM, last=last).eval()
    attention, own, other = peer.attn, layer.picture, layer.prompt
    copied(own.modulation, peer.norm1.linear)
    copied(own.projection, attention.to_q, attention.to_k, attention.to_v)
    copied(own.attention_output, attention.to_out[0])
    copied_mlp(own.mlp, peer.ff)
    if last:  # diffusers makes the scale first there, and queries that nobody reads
        swapped = copy.deepcopy(peer.norm1_context.linear)
        with torch.no_grad():
            for name in ("weight", "bias"):
                getattr(swapped, name).copy_(getattr(swapped, name).roll(DIM, dims=0))
        copied(other.modulation, swapped)
        copied(other.projection, attention.add_k_proj, attention.add_v_proj)
    else:
        copied(other.modulation, peer.norm1_context.linear)
        copied(other.projection, attention.add_q_proj, attention.add_k_proj, attention.add_v_proj)
        copied(other.attention_output, attention.to_add_out)
        copied_mlp(other.mlp, peer.ff_context)
    hidden, condition, told = tensors()
    found, found_told = layer(hidden, told, nn.functional.silu(condition), None)
    wanted_told, wanted = peer(hidden, told, condition)
    assert close(found, wanted, 1e-5)
    assert last or close(found_told, wanted_told, 1e-5)


def test_the_whole_transformer():
    from diffusers import DiTTransformer2DModel

    peer = DiTTransformer2DModel(
        HEADS, DIM // HEADS, in_channels=3, num_layers=2, sample_size=8, patch_size=2, norm_eps=1e-6
    ).eval()
    stir(peer)
    _, condition, told = tensors()
    for block in peer.transformer_blocks:
        told_by(block, condition)
    own = dit(DIM, 2, num_heads=HEADS)
    own.build(3, (8, 8), DIM)
    own.eval()
    own.time = nn.Module()
    own.time.forward = lambda time: condition  # type: ignore[method-assign]
    nn.init.zeros_(own.told.weight)
    nn.init.zeros_(own.told.bias)
    for layer, block in zip(own.layers, peer.transformer_blocks, strict=True):
        filled(layer, block)
        copied(layer.modulation, block.norm1.linear)
    copied(own.last, peer.proj_out_1)
    copied(own.patches.output, peer.proj_out_2)
    with torch.no_grad():
        kernel = peer.pos_embed.proj.weight.permute(0, 2, 3, 1)  # (D, p, p, C), as our squares are laid out
        own.patches.input.weight.copy_(kernel.flatten(1))
        own.patches.input.bias.copy_(peer.pos_embed.proj.bias)
        own.patches.places.copy_(peer.pos_embed.pos_embed)  # ours have wavelengths of the grid's size
    x = torch.randn(ROWS, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    wanted = peer(x, torch.zeros(ROWS), torch.zeros(ROWS), return_dict=False)[0]
    assert close(own(x, torch.zeros(ROWS), told), wanted, 1e-5)


def test_places_are_sines_and_cosines_of_column_and_row():
    from diffusers.models.embeddings import get_1d_sincos_pos_embed_from_grid

    rates = math.pi / 2 * 4 ** -(torch.arange(DIM // 4, dtype=torch.double) / (DIM // 4))
    usual = 10000.0 ** -(torch.arange(DIM // 4, dtype=torch.double) / (DIM // 4))
    found = places(DIM, 4, 3)[0].view(4, 3, 2, DIM // 2)
    for axis, count in ((0, 3), (1, 4)):
        for number, ratio in enumerate(rates / usual):  # one frequency of ours is one of theirs at stretched places
            grid = torch.arange(count, dtype=torch.double) * ratio
            wanted = get_1d_sincos_pos_embed_from_grid(DIM // 2, grid, output_type="pt")
            own = found[0, :, 0] if axis == 0 else found[:, 0, 1]
            for column in (number, DIM // 4 + number):
                assert torch.allclose(own[:, column], wanted[:, column].float(), atol=1e-5)


@pytest.mark.parametrize("side", [2, 3, 4, 6, 12])
def test_places_of_small_grids_are_told_apart(side):
    found = F.layer_norm(places(128, side, side)[0], (128,))
    alike = F.cosine_similarity(found[:, None], found[None], dim=-1).fill_diagonal_(0)
    # with the base of 10,000 the mean is .67 at side 12 and .95 at side 2
    assert alike.max() < 0.9
    assert alike.sum() / (side**2 * (side**2 - 1)) < 0.2


def test_the_unet_is_told_the_noise_level_and_the_mask():
    denoiser = unet((16, 16), num_heads=2)
    denoiser.build(3, (8, 8), 6)
    stir(denoiser)
    denoiser.eval()
    x, memory = torch.randn(1, 3, 8, 8), torch.randn(1, 4, 6)
    wanted = denoiser.network(x, 250, memory[:, :3]).sample  # noise level 250 of 1,000 where three quarters are data
    found = denoiser(x, torch.tensor([0.75]), memory, torch.tensor([[True, True, True, False]]))
    assert close(found, wanted, 1e-4)
