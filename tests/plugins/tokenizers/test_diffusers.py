"""diffusers' autoencoders behind the contract: its own numbers, and folders in its layout."""

from __future__ import annotations

import json

import pytest
import torch

from mmgraph.errors import RunError, UsageError
from mmgraph.models import Autoencoder, load, save
from mmgraph.pictures import to_float, to_uint8
from mmgraph.testing import assert_conforms
from mmgraph.testing.stand_ins import pictures
from mmgraph.tokenizers import diffusers_kl, diffusers_tiny, diffusers_vq

KINDS = [diffusers_kl, diffusers_tiny, diffusers_vq]


def small(cls, **options):
    torch.manual_seed(0)
    return cls(16, (16, 16, 16), latent_dim=4, **options)


def ready(cls, **options):
    tokenizer, data = small(cls, **options), torch.stack(pictures(6, 16))
    tokenizer.standardize(list(data))
    return tokenizer.eval(), data


@pytest.mark.parametrize("cls", KINDS)
def test_contract(cls):
    assert_conforms("tokenizers", cls, lambda: small(cls))


@pytest.mark.parametrize("cls", KINDS)
def test_sizes_follow_the_widths(cls):
    tokenizer = small(cls)
    assert tokenizer.grid == (4, 4)
    assert cls(16, (8, 8)).grid == (8, 8)
    assert tokenizer.last_layer.shape[0] == 3
    assert (tokenizer.code_dim if tokenizer.discrete else tokenizer.token_dim) == 4


@pytest.mark.parametrize("cls", KINDS)
def test_tokens_and_back_is_what_the_network_itself_gives(cls):
    tokenizer, data = ready(cls)
    with torch.no_grad():
        network, shown = tokenizer.network, to_float(data)
        if cls is diffusers_kl:
            theirs = network(shown, sample_posterior=False).sample
        elif cls is diffusers_tiny:
            theirs = network.decoder(network.encoder(shown))
        else:
            theirs = network(shown).sample
    back = tokenizer.decode(tokenizer.encode(data))
    assert (back.int() - to_uint8(theirs).int()).abs().max() <= 1
    given, _ = tokenizer.reconstruct(shown)
    torch.testing.assert_close(given, theirs, atol=1e-4, rtol=1e-4)


def test_the_divergence_is_the_network_s_own():
    tokenizer, data = ready(diffusers_kl, kl_weight=0.5)
    _, losses = tokenizer.reconstruct(to_float(data))
    theirs = tokenizer.network.encode(to_float(data)).latent_dist.kl().sum() / data.numel()
    torch.testing.assert_close(losses["divergence"], 0.5 * theirs)


@pytest.mark.parametrize("cls", KINDS)
def test_a_folder_in_diffusers_layout_decides_everything(cls, tmp_path):
    made = cls(16, (16, 16), latent_dim=6)
    made.network.save_pretrained(tmp_path / "theirs")
    tokenizer = cls(16, weights=str(tmp_path / "theirs"))
    assert tokenizer.grid == (8, 8)
    assert not any(weight.requires_grad for weight in tokenizer.parameters())
    data = torch.stack(pictures(6, 16))
    tokenizer.eval().fit(list(data))
    made.standardize(list(data))
    assert torch.equal(tokenizer.encode(data), made.eval().encode(data))
    # saved without the folder: the run alone builds the same network
    save(Autoencoder(tokenizer), tmp_path / "model")
    for file in (tmp_path / "theirs").iterdir():
        file.unlink()
    assert torch.equal(load(tmp_path).tokenizer.encode(data), tokenizer.encode(data))
    again = cls(16, (16, 16), latent_dim=6, weights=f"run:{tmp_path}").eval()
    assert torch.equal(again.encode(data), tokenizer.encode(data))


def test_what_is_no_such_folder_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"config\.json and diffusion_pytorch_model\.safetensors missing"):
        small(diffusers_kl, weights=str(tmp_path))
    small(diffusers_tiny).network.save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="holds a AutoencoderTiny, not a VQModel"):
        small(diffusers_vq, weights=str(tmp_path))
    (tmp_path / "diffusion_pytorch_model.safetensors").write_bytes(b"cut")
    with pytest.raises(RunError, match="cannot be loaded"):
        small(diffusers_tiny, weights=str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(RunError, match=r"config\.json is damaged"):
        small(diffusers_tiny, weights=str(tmp_path))


def test_options_reach_the_network_and_wrong_ones_are_told():
    tokenizer = small(diffusers_kl, options={"act_fn": "gelu", "mid_block_add_attention": False})
    assert tokenizer.network.config["act_fn"] == "gelu"
    assert json.dumps(tokenizer.network.config["mid_block_add_attention"]) == "false"
    with pytest.raises(UsageError, match="refuses its options"):
        small(diffusers_kl, options={"no_such_option": 1})
    with pytest.raises(UsageError, match="widths"):
        diffusers_kl(16, ())
    with pytest.raises(UsageError, match="one width, not"):
        diffusers_tiny(16, (8, 16))


@pytest.mark.parametrize("cls", KINDS)
def test_random_weights_and_other_sizes_are_refused(cls):
    with pytest.raises(UsageError, match="not trained"):
        small(cls).fit(pictures(2, 16))
    with pytest.raises(UsageError, match="of 16 px"):
        small(cls).encode(torch.zeros(1, 3, 24, 24, dtype=torch.uint8))
