"""The other packages' side of each comparison; each is imported where it is used."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tests.benchmarks.measuring import Side
from tests.benchmarks.sizes import Sizes

BATCHES = 4


def _optimizer(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.99), fused=True)


def small_gpt(sizes: Sizes) -> Side:
    """Train the plain text transformer on ready ids."""
    from tests.benchmarks.small_gpt import SmallGPT

    torch.manual_seed(0)
    model = SmallGPT(sizes.TEXT_VALUES, sizes.length, dim=sizes.dim, depth=sizes.depth, num_heads=sizes.num_heads)
    optimizer = _optimizer(model)
    batches = torch.randint(0, sizes.TEXT_VALUES, (BATCHES, sizes.batch, sizes.length + 1))

    def run(steps: int) -> None:
        for step in range(steps):
            ids = batches[step % BATCHES]
            loss = model(ids[:, :-1], ids[:, 1:])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return Side(run, sum(parameter.numel() for parameter in model.parameters()))


def _transfusion(sizes: Sizes, **options: Any) -> Any:
    from transfusion_pytorch import Transfusion

    torch.manual_seed(0)
    return Transfusion(
        num_text_tokens=sizes.TEXT_VALUES,
        dim_latent=sizes.latent,
        modality_default_shape=(sizes.side, sizes.side),
        transformer={
            "dim": sizes.dim,
            "depth": sizes.depth,
            "heads": sizes.num_heads,
            "dim_head": sizes.dim // sizes.num_heads,
        },
        **options,
    )


def transfusion(sizes: Sizes, ragged: bool = False) -> Side:
    """Train transfusion-pytorch on ready ids and latents, with its defaults."""
    model = _transfusion(sizes)
    optimizer = _optimizer(model)

    def sample(key: int) -> list[Tensor]:
        length = sizes.text_length(key, ragged)
        return [
            torch.randint(0, sizes.TEXT_VALUES, (length,)),
            torch.randn(sizes.side, sizes.side, sizes.latent),
        ]

    batches = [[sample(b * sizes.batch + row) for row in range(sizes.batch)] for b in range(BATCHES)]

    def run(steps: int) -> None:
        for step in range(steps):
            loss = model(batches[step % BATCHES])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return Side(run, sum(parameter.numel() for parameter in model.parameters()))


def transfusion_ragged(sizes: Sizes) -> Side:
    """Train transfusion-pytorch on texts of different lengths."""
    return transfusion(sizes, ragged=True)


def transfusion_wide(sizes: Sizes) -> Side:
    """Train transfusion-pytorch on pictures of many tokens."""
    return transfusion(sizes.wide)


def transfusion_drawing(sizes: Sizes) -> Side:
    """Draw with transfusion-pytorch in one batch, with guidance and as many evaluations of the network as ours."""
    from tests.benchmarks.ours import GUIDANCE

    wide = sizes.wide
    model = _transfusion(wide, odeint_kwargs={"method": "euler"})
    prompts = [torch.randint(0, sizes.TEXT_VALUES, (sizes.text,)) for _ in range(sizes.drawn)]
    shape = (wide.side, wide.side)

    def run(times: int) -> None:
        for _ in range(times):
            drawn = model.sample_many(
                prompts,
                max_length=wide.side**2 - 1,  # no text after the picture
                fixed_modality_shape=shape,
                force_modality_at_start=(0, shape),
                modality_steps=sizes.draw_steps + 1,  # points in time, one more than steps
                cfg_scale=GUIDANCE,
                return_without_prompt=True,
            )
            assert len(drawn) == sizes.drawn

    return Side(run, sum(parameter.numel() for parameter in model.parameters()))


def _llama(sizes: Sizes, rows: int) -> Side:
    """Write `length` tokens with transformers' `generate` and its cache on a Llama of our size."""
    from mmgraph_blocks.layer import inner_width
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=sizes.TEXT_VALUES + 4,
            hidden_size=sizes.dim,
            intermediate_size=inner_width(sizes.dim, 4.0),
            num_hidden_layers=sizes.depth,
            num_attention_heads=sizes.num_heads,
            max_position_embeddings=sizes.length + 16,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=None,
        )
    ).eval()
    ids = torch.randint(4, sizes.TEXT_VALUES, (rows, 8))
    mask = torch.ones_like(ids)

    def run(times: int) -> None:
        for _ in range(times):
            found = model.generate(
                ids, attention_mask=mask, max_new_tokens=sizes.length, do_sample=False, use_cache=True
            )
            assert found.shape == (rows, 8 + sizes.length)

    return Side(run, sum(parameter.numel() for parameter in model.parameters()))


def llama_one(sizes: Sizes) -> Side:
    return _llama(sizes, 1)


def llama_many(sizes: Sizes) -> Side:
    return _llama(sizes, sizes.batch)


def mixtral(sizes: Sizes) -> Side:
    """Run the routed feed-forward of transformers' Mixtral, as it runs by default, without auxiliary losses."""
    from mmgraph_blocks.layer import inner_width
    from transformers import MixtralConfig
    from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

    from tests.benchmarks.experts import NUM_EXPERTS, TOP_K, backward

    block = MixtralSparseMoeBlock(
        MixtralConfig(
            hidden_size=sizes.dim,
            intermediate_size=inner_width(sizes.dim, 4.0 / TOP_K),
            num_local_experts=NUM_EXPERTS,
            num_experts_per_tok=TOP_K,
        )
    )
    with torch.no_grad():
        for weight in block.parameters():  # not filled outside a whole model
            weight.normal_(std=0.02)
    parameters = sum(parameter.numel() for parameter in block.parameters())
    return Side(backward(lambda tokens: block(tokens).square().mean(), sizes), parameters)


def codebook(sizes: Sizes) -> Side:
    """Quantise vectors forward and backward, the codes following; vector-quantize-pytorch with what ours does."""
    module, batches = _quantizer(sizes)

    def run(steps: int) -> None:
        for step in range(steps):
            vectors = batches[step % BATCHES].requires_grad_()
            passed, _, loss = module(vectors)
            torch.autograd.grad(passed.square().mean() + loss.sum(), vectors)

    return Side(run, sizes.codes * sizes.latent)


def codes(sizes: Sizes) -> Side:
    """Find the codes of vectors, nothing following."""
    module, batches = _quantizer(sizes)
    module(batches[0])
    module.eval()

    @torch.no_grad()
    def run(steps: int) -> None:
        for step in range(steps):
            module(batches[step % BATCHES])

    return Side(run, sizes.codes * sizes.latent)


def _quantizer(sizes: Sizes) -> tuple[nn.Module, Tensor]:
    from vector_quantize_pytorch import VectorQuantize

    torch.manual_seed(0)
    tokens = sizes.batch * sizes.side**2
    module = VectorQuantize(
        dim=sizes.latent,
        codebook_size=sizes.codes,
        decay=0.99,
        commitment_weight=0.25,
        kmeans_init=True,
        kmeans_iters=5,
        threshold_ema_dead_code=0.05 * tokens / sizes.codes,
        rotation_trick=False,
    )
    return module, torch.randn(BATCHES, sizes.batch, sizes.side**2, sizes.latent)
