"""Tokenizers of pictures between a convolutional encoder and decoder: each one's own arithmetic."""

from __future__ import annotations

import itertools

import pytest
import torch
from mmgraph_tokenizers import gaussian
from mmgraph_tokenizers.fsq import ScalarQuantizer
from torch.nn import functional as F

from mmgraph.errors import UsageError
from mmgraph.models import Autoencoder, load, save
from mmgraph.pictures import to_float
from mmgraph.testing import assert_conforms
from mmgraph.testing.stand_ins import pictures
from mmgraph.tokenizers import fsq, multiscale_vq, residual_vq, vae, vq

SMALL = {
    vae: {"latent_dim": 8},
    vq: {"latent_dim": 8, "num_codes": 32},
    fsq: {"levels": [5, 4, 3]},
    residual_vq: {"latent_dim": 8, "num_codes": 16, "num_quantizers": 3},
    multiscale_vq: {"latent_dim": 8, "num_codes": 32, "sides": [1, 2, 4]},
}
DISCRETE = [vq, fsq, residual_vq, multiscale_vq]


def small(cls, **options):
    torch.manual_seed(0)
    return cls(16, 4, width=16, **{**SMALL[cls], **options})


def ready(cls, **options):
    """Return a tokenizer that has met its pictures once, and the pictures."""
    tokenizer, data = small(cls, **options), torch.stack(pictures(12, 16))
    tokenizer.reconstruct(to_float(data))
    tokenizer.standardize(list(data))
    return tokenizer.eval(), data


@pytest.mark.parametrize("cls", list(SMALL))
def test_contract(cls):
    assert_conforms("tokenizers", cls, lambda: small(cls))


@pytest.mark.parametrize("cls", list(SMALL))
def test_tokens_and_back_is_the_reconstruction(cls):
    tokenizer, data = ready(cls)
    given, _ = tokenizer.reconstruct(to_float(data))
    back = tokenizer.decode(tokenizer.encode(data))
    expected = ((given + 1) * 127.5).round().clamp(0, 255)
    assert (back.int() - expected.int()).abs().max() <= 1


@pytest.mark.parametrize("cls", list(SMALL))
def test_reconstructing_trains_every_weight(cls):
    tokenizer = small(cls)
    given, losses = tokenizer.reconstruct(torch.randn(8, 3, 16, 16))
    (given.square().mean() + sum(losses.values())).backward()
    missing = [name for name, weight in tokenizer.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert not missing
    assert tokenizer.last_layer.shape == (12, 16, 3, 3)  # 2 x 2 pixels of three colours


@pytest.mark.parametrize("cls", DISCRETE)
def test_frequencies_count_the_codes_of_training_pictures(cls):
    tokenizer, data = ready(cls)
    codes = tokenizer.encode(data).flatten().tolist()
    counted = [codes.count(code) / len(codes) for code in range(tokenizer.codebook_size)]
    torch.testing.assert_close(tokenizer.frequencies, torch.tensor(counted))


@pytest.mark.parametrize("cls", DISCRETE)
def test_measures_tell_how_codes_are_used(cls):
    tokenizer = small(cls)
    assert tokenizer.measures() == {}
    tokenizer.reconstruct(torch.randn(8, 3, 16, 16))
    measured = tokenizer.measures()
    assert 0 < float(measured["codebook_use"]) <= 1
    assert 1 <= float(measured["perplexity"]) <= tokenizer.codebook_size
    assert not any(value.requires_grad for value in measured.values())


@pytest.mark.parametrize("cls", list(SMALL))
def test_trained_weights_come_from_a_run_and_are_frozen(cls, tmp_path):
    tokenizer, data = ready(cls)
    save(Autoencoder(tokenizer), tmp_path / "model")
    again = small(cls, weights=f"run:{tmp_path}").eval()
    assert torch.equal(again.encode(data), tokenizer.encode(data))
    assert not any(weight.requires_grad for weight in again.parameters())
    assert torch.equal(load(tmp_path).tokenizer.encode(data), tokenizer.encode(data))


def test_zoo_codes_bring_pictures_back():
    tokenizer = vq(24, 4, num_codes=512, latent_dim=16, width=32, weights="zoo:vq").eval()
    assert tokenizer.fitted
    assert int(tokenizer.frequencies.gt(0).sum()) > 480
    assert tokenizer.encode(torch.full((1, 3, 24, 24), 255, dtype=torch.uint8)).shape == (1, 36)
    white = torch.full((1, 3, 24, 24), 255, dtype=torch.uint8)
    assert tokenizer.decode(tokenizer.encode(white)).float().sub(255).abs().mean() < 3


# -- vae --------------------------------------------------------------------------------------------------


def test_divergence_is_torch_s_own():
    mean, log_variance = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    found = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (log_variance / 2).exp()), torch.distributions.Normal(0.0, 1.0)
    )
    torch.testing.assert_close(gaussian.divergence(mean, log_variance), found)


def test_training_draws_from_the_posterior_and_encoding_takes_its_mean():
    tokenizer, data = ready(vae)
    calm = tokenizer.reconstruct(to_float(data))[0]
    assert torch.equal(calm, tokenizer.reconstruct(to_float(data))[0])
    tokenizer.train()
    assert not torch.equal(tokenizer.reconstruct(to_float(data))[0], tokenizer.reconstruct(to_float(data))[0])
    mean, log_variance = torch.full((20000, 1, 1, 1), 2.0), torch.full((20000, 1, 1, 1), -1.0)
    drawn = gaussian.sample(mean, log_variance)
    assert float(drawn.mean()) == pytest.approx(2, abs=0.02)
    assert float(drawn.var()) == pytest.approx(torch.tensor(-1.0).exp().item(), abs=0.02)
    tokens = tokenizer.eval().encode(data).flatten(0, 1)
    torch.testing.assert_close(tokens.mean(0), torch.zeros(8), atol=1e-4, rtol=0)


def test_a_collapsed_posterior_shows():
    flat, alive = torch.zeros(4, 3, 2, 2), torch.zeros(4, 3, 2, 2)
    alive[:, 1] = 2.0
    collapsed = gaussian.report(gaussian.divergence(flat, torch.zeros_like(flat)))
    assert float(collapsed["kl"]) == float(collapsed["active_channels"]) == 0
    living = gaussian.report(gaussian.divergence(alive, torch.zeros_like(alive)))
    assert float(living["kl"]) == pytest.approx(4 * 0.5 * 2.0**2)
    assert float(living["active_channels"]) == pytest.approx(1 / 3)


def test_the_weighted_divergence_is_a_mean_over_the_picture_s_numbers():
    tokenizer, data = ready(vae, kl_weight=0.25)
    _, losses = tokenizer.reconstruct(to_float(data))
    nats = float(tokenizer.measures()["kl"])
    assert float(losses["divergence"].detach()) == pytest.approx(0.25 * nats / (3 * 16 * 16), rel=1e-5)


# -- fsq --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [[8, 5, 5, 5], [3, 4], [7]])
def test_codes_and_levels_correspond_one_to_one(levels):
    quantizer = ScalarQuantizer(levels)
    every = quantizer.lookup(torch.arange(quantizer.size))  # (K, d)
    halves = [count // 2 for count in levels]
    wanted = itertools.product(*(range(count) for count in reversed(levels)))  # the first level is the fastest
    rows = [
        [(level - half) / half for level, half in zip(reversed(row), halves, strict=True)] for row in wanted
    ]
    torch.testing.assert_close(every, torch.tensor(rows))
    # the number before the bound, so that each level comes back as its own code
    wide = torch.atanh(((every * quantizer._middle + quantizer._offset) / quantizer._reach).clamp(-0.9999, 0.9999))
    again, codes = quantizer(wide - quantizer._shift)
    assert torch.equal(codes, torch.arange(quantizer.size))
    torch.testing.assert_close(again, every)


def test_rounding_stays_inside_its_levels_and_passes_gradient():
    quantizer = ScalarQuantizer([8, 5])
    numbers = torch.linspace(-9, 9, 200)[:, None].repeat(1, 2).requires_grad_()
    rounded, codes = quantizer(numbers)
    assert (codes.min(), codes.max()) == (0, 39)
    assert rounded[:, 0].unique().tolist() == [level / 4 for level in range(-4, 4)]
    assert rounded[:, 1].unique().tolist() == [-1, -0.5, 0, 0.5, 1]
    zero, _ = quantizer(torch.zeros(1, 2))
    assert zero.tolist() == [[0, 0]]
    (gradient,) = torch.autograd.grad(rounded.sum(), numbers)
    reach = torch.tensor([0.999 * 3.5, 0.999 * 2])
    shift = torch.atanh(torch.tensor([0.5, 0.0]) / reach)
    wanted = reach * (1 - torch.tanh(numbers.detach() + shift).square()) / torch.tensor([4.0, 2.0])
    torch.testing.assert_close(gradient, wanted)


# -- residual ---------------------------------------------------------------------------------------------


def test_each_codebook_quantises_what_is_left():
    tokenizer, data = ready(residual_vq)
    latents = tokenizer.encoder(to_float(data)).movedim(1, -1)
    codes = tokenizer.encode(data).view(12, 4, 4, 3)
    remainder = latents
    for q, book in enumerate(tokenizer.codebooks):
        nearest = torch.cdist(remainder.reshape(1, -1, 8), book.codes[None])[0].argmin(1)
        assert torch.equal(codes[..., q].flatten(), nearest + 16 * q)
        remainder = remainder - book.codes[nearest].view_as(remainder)
    torch.testing.assert_close(tokenizer.vectors(codes).sum(-2), latents - remainder)
    assert remainder.square().mean() < latents.square().mean()


def test_a_code_of_another_codebook_is_read_by_its_rank():
    tokenizer, data = ready(residual_vq)
    codes = tokenizer.encode(data)
    assert torch.equal(tokenizer.decode(codes % 16), tokenizer.decode(codes))
    with pytest.raises(ValueError, match="no grid"):
        _ = tokenizer.grid


# -- multi-scale ------------------------------------------------------------------------------------------


def test_scales_add_up_to_what_is_decoded():
    tokenizer, data = ready(multiscale_vq)
    codes = tokenizer.encode(data)
    assert codes.shape == (12, 1 + 4 + 16)
    assert tokenizer.scales == (1, 2, 4)
    total = torch.zeros(12, 8, 4, 4)
    latents = tokenizer.encoder(to_float(data))
    begin = 0
    for number, side in enumerate(tokenizer.scales):
        remainder = F.adaptive_avg_pool2d(latents - total, side)
        own = codes[:, begin : begin + side**2].view(12, side, side)
        distances = (remainder.movedim(1, -1)[..., None, :] - tokenizer.codebook.codes).square().sum(-1)
        assert torch.equal(own, distances.argmin(-1))
        grown = tokenizer.codebook.codes[own].movedim(-1, 1)
        if side < 4:
            grown = F.interpolate(grown, size=(4, 4), mode="bicubic")
        total = total + 0.5 * grown + 0.5 * tokenizer.refine[number](grown)
        begin += side**2
        torch.testing.assert_close(tokenizer.accumulate(codes[:, :begin]), total)
    assert torch.equal(tokenizer.decode(codes), tokenizer.painted(tokenizer.accumulate(codes)))


def test_a_scale_is_given_what_earlier_scales_say_and_nothing_of_its_own():
    tokenizer, data = ready(multiscale_vq)
    codes = tokenizer.encode(data)
    inputs = tokenizer.scale_inputs(codes)
    assert inputs.shape == (12, 21, 8)
    assert not inputs[:, :1].any()
    for end, side, begin in ((1, 2, 1), (5, 4, 5)):
        wanted = F.adaptive_avg_pool2d(tokenizer.accumulate(codes[:, :end]), side).flatten(2).transpose(1, 2)
        torch.testing.assert_close(inputs[:, begin : begin + side**2], wanted)
        # while drawing, a prefix gives the inputs of the scale that comes next
        torch.testing.assert_close(tokenizer.scale_inputs(codes[:, :end]), inputs[:, : begin + side**2])
    changed = codes.clone()
    changed[:, 5:] = (changed[:, 5:] + 1) % 32
    assert torch.equal(tokenizer.scale_inputs(changed), inputs)
    assert tokenizer.scale_inputs(codes[:, :0]).shape == (12, 1, 8)


def test_codes_that_fill_no_scale_are_refused():
    tokenizer, data = ready(multiscale_vq)
    with pytest.raises(UsageError, match="3 codes fill no whole number"):
        tokenizer.scale_inputs(tokenizer.encode(data)[:, :3])
    with pytest.raises(UsageError, match="has no scales"):
        small(vq).scale_inputs(torch.zeros(1, 16, dtype=torch.long))
    with pytest.raises(UsageError, match="has no scales"):
        _ = small(fsq).scales


# -- refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: small(vq).fit([]), "vq tokenizer is not trained"),
        (lambda: small(vae, kl_weight=-1.0), "kl_weight must be 0 or more"),
        (lambda: small(fsq, levels=[2, 8]), "3 levels or more"),
        (lambda: small(fsq, levels=[]), "3 levels or more"),
        (lambda: small(residual_vq, num_quantizers=0), "num_quantizers must be 1"),
        (lambda: small(multiscale_vq, sides=[1, 3]), r"must grow from 1.* = 4, for example \[1, 2, 4\]"),
        (lambda: small(multiscale_vq, sides=[2, 2, 4]), "must grow"),
        (lambda: small(vq).encode(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)), "16 px"),
        (lambda: vq(16, 5), "power of two"),
    ],
)
def test_refuses(make, message):
    with pytest.raises(UsageError, match=message):
        make()
