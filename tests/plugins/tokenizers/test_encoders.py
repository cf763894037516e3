"""Encoders that only see: small vision transformers, timm's models, EfficientNet-Lite0."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from mmgraph.errors import UsageError
from mmgraph.pictures import to_float
from mmgraph.testing import assert_conforms
from mmgraph.testing.stand_ins import pictures
from mmgraph.tokenizers import efficientnet, timm, vit

NAME = "resnet10t"


def small(**options):
    return vit(16, 8, width=16, depth=1, num_heads=2, **{"frozen": False, **options})


def fitted(tokenizer, size: int = 16):
    tokenizer.fit(pictures(12, size))
    return tokenizer.eval()


def timm_tiny(**options):
    return timm(NAME, 32, **{"frozen": False, **options})


@pytest.mark.parametrize(
    ("cls", "make"),
    [(vit, small), (timm, lambda: timm_tiny().eval()), (efficientnet, lambda: efficientnet(32))],
)
def test_contract(cls, make):
    assert_conforms("tokenizers", cls, make)


@pytest.mark.parametrize("make", [small, timm_tiny, lambda: efficientnet(64)])
def test_features_are_standardised(make):
    tokenizer, data = fitted(make(), 16), torch.stack(pictures(12, 16))
    tokens = tokenizer.encode(data).flatten(0, 1)
    torch.testing.assert_close(tokens.mean(0), torch.zeros(tokenizer.token_dim), atol=2e-3, rtol=0)
    assert tokenizer.encode(data).shape == (12, tokenizer.num_tokens, tokenizer.token_dim)


@pytest.mark.parametrize("make", [small, timm_tiny])
def test_gradient_flows_unless_frozen(make):
    data = torch.stack(pictures(2, 16))
    assert fitted(make()).encode(data).requires_grad
    tokenizer = fitted(make())
    tokenizer.requires_grad_(False)
    assert not tokenizer.encode(data).requires_grad


def test_vit_is_torch_s_encoder_over_patches():
    tokenizer = small().eval()
    picture = torch.randn(1, 3, 16, 16)
    patch = picture[0, :, :8, 8:].permute(0, 1, 2).flatten()
    torch.testing.assert_close(
        tokenizer.embedding(patch) + tokenizer.places[1],
        (tokenizer.embedding(_patches(picture)) + tokenizer.places)[0, 1],
    )
    hidden = tokenizer.embedding(_patches(picture)) + tokenizer.places
    for layer in tokenizer.layers.layers:
        normed = layer.norm1(hidden)
        hidden = hidden + layer.self_attn(normed, normed, normed)[0]
        hidden = hidden + layer.linear2(torch.nn.functional.gelu(layer.linear1(layer.norm2(hidden))))
    torch.testing.assert_close(tokenizer.features(picture), tokenizer.layers.norm(hidden), atol=1e-5, rtol=1e-5)


def _patches(picture):
    rows = [picture[0, :, r : r + 8, c : c + 8].flatten() for r in (0, 8) for c in (0, 8)]
    return torch.stack(rows)[None]


@pytest.mark.parametrize(
    ("name", "grid", "width"),
    [(NAME, (1, 1), 512), ("vit_tiny_patch16_224", (2, 2), 192), ("swin_tiny_patch4_window7_224", (1, 1), 768)],
)
def test_timm_s_own_feature_map(name, grid, width):
    tokenizer = fitted(timm(name, 32, frozen=False))
    assert (tokenizer.grid, tokenizer.token_dim) == (grid, width)
    data = torch.stack(pictures(2, 32))
    shown = (to_float(data) + 1) / 2
    config = tokenizer.network.pretrained_cfg
    shown = (shown - torch.tensor(config["mean"]).view(3, 1, 1)) / torch.tensor(config["std"]).view(3, 1, 1)
    mine, theirs = tokenizer.features(to_float(data)), tokenizer.network.forward_features(shown)
    torch.testing.assert_close(mine.mean(), theirs[:, tokenizer.prefix :].mean() if theirs.ndim == 3 else theirs.mean())


def test_timm_takes_a_local_file(tmp_path):
    first = timm_tiny()
    save_file(first.network.state_dict(), tmp_path / "weights.safetensors")
    second = timm(NAME, 32, weights=str(tmp_path / "weights.safetensors"))
    assert torch.equal(first.network.conv1[0].weight, second.network.conv1[0].weight)
    assert not any(parameter.requires_grad for parameter in second.parameters())
    second.train()
    assert not second.network.training  # batch statistics stay


def test_efficientnet_sees_what_imagenet_taught():
    tokenizer = fitted(efficientnet(64, stage="last"), 32)
    assert tokenizer.token_dim == 320
    from mmgraph.evaluation.features import network

    data = torch.stack(pictures(2, 64))
    shown = (data.float() / 255 - tokenizer._mean) / tokenizer._std
    whole = network()
    hidden = whole._swish(whole._bn0(whole._conv_stem(shown)))
    for block in whole._blocks:
        hidden = block(hidden)
    torch.testing.assert_close(
        tokenizer.features(to_float(data)), hidden.flatten(2).transpose(1, 2), atol=1e-3, rtol=1e-3
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vit(16, 5), "patch_size 5 must divide"),
        (lambda: vit(16, 8).fit(pictures(2, 16)), "not trained.*zoo:clip"),
        (lambda: small().features(torch.zeros(1, 3, 8, 8)), "16 px"),
        (lambda: small().decode(torch.zeros(1)), "only sees"),
        (lambda: timm("resnet10x"), "timm has no model 'resnet10x'.*resnet"),
        (lambda: timm(NAME, 32).fit(pictures(2)), "random and frozen"),
        (lambda: timm(NAME, 32, weights="nowhere.pth"), "no file nowhere.pth"),
        (lambda: efficientnet(48), "input_size 48 must be a multiple of 32"),
        (lambda: efficientnet(64, stage="first"), "stage must be middle or last"),
    ],
)
def test_refuses(make, message):
    with pytest.raises(UsageError, match=message):
        make()
