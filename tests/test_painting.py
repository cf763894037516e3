"""Every head through the one engine: what is cached, guided, batched and shown on the way."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch

from mmgraph import generation
from mmgraph.connectors import linear
from mmgraph.errors import UsageError
from mmgraph.heads import ddpm, flow, mar, masked, next_scale, next_token, regression
from mmgraph.models import load, save
from mmgraph.sequence import Sample, Segment
from mmgraph.testing.stand_ins import Codes, ScaleCodes, Vectors
from mmgraph.tokenizers import multiscale_vq
from tests import tiny


class Grid(Codes):
    """Pictures of 3 x 4 pixels: enough places for an order to matter."""

    num_tokens = 12
    grid = (3, 4)

    def decode(self, tokens: Any) -> torch.Tensor:
        """Return the pictures."""
        return (tokens * 16 + 8).to(torch.uint8).view(-1, 1, 3, 4)


HEADS: dict[str, tuple[Any, Any]] = {
    "raster": (lambda: next_token(), Grid),
    "reversed": (lambda: next_token(order="reversed"), Grid),
    "spiral": (lambda: next_token(order="spiral"), Grid),
    "random": (lambda: next_token(order="random"), Grid),
    "masked": (lambda: masked(), Grid),
    "next_scale": (lambda: next_scale(), ScaleCodes),
    "regression": (lambda: regression(), Vectors),
    "mar": (lambda: mar(16, 1, denoising_steps=3), Vectors),
    "mar, dpm-solver": (lambda: mar(16, 1, denoising_steps=3, sampler="DPMSolverMultistepScheduler"), Vectors),
    "ddpm": (lambda: ddpm("velocity"), Vectors),
    "ddpm, ancestral": (lambda: ddpm("epsilon", sampler="DDPMScheduler"), Vectors),
    "flow": (lambda: flow(), Vectors),
    "flow, heun": (lambda: flow(sampler="FlowMatchHeunDiscreteScheduler"), Vectors),
}
SIZES = {Grid: (3, 4), ScaleCodes: (4, 4), Vectors: (8, 8)}


def model_of(name: str, *, stirred: bool = True, tokenizer: Any = None):
    head, usual = HEADS[name]
    tokenizer = tokenizer or usual
    discrete = tokenizer.discrete
    return tiny.model(
        processor=tiny.single(continuous=() if discrete else ("image",)),
        tokenizers={"text": tiny.word(), "image": tokenizer()},
        connectors={} if discrete else {"image": linear()},
        heads={"text": next_token(), "image": head()},
        stirred=stirred,
    )


@pytest.fixture(params=HEADS, scope="module")
def name(request):
    return request.param


@pytest.fixture(scope="module")
def model(name):
    return model_of(name)


def pictures(name: str, count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (count, 1, *SIZES[HEADS[name][1]]), generator=generator).to(torch.uint8)


def prompts() -> list[Sample]:
    return [
        Sample((Segment("text", text), Segment("image", None, target=True)), "draw", key)
        for key, text in enumerate(("fox", "a big red fox with big ears", "two small ears"))
    ]


def same(left: torch.Tensor, right: torch.Tensor) -> None:
    if left.is_floating_point():
        torch.testing.assert_close(left, right, atol=2e-3, rtol=2e-3)
    else:
        assert torch.equal(left, right)


def tokens(model, samples, **options) -> list[torch.Tensor]:
    return list(generation.picture_tokens(model, samples, **{"num_steps": 4, "seed": 3, **options}))


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_the_cache_changes_nothing(model, guidance):
    cached, plain = (tokens(model, prompts(), guidance=guidance, use_cache=use) for use in (True, False))
    assert len(cached) == len(plain) > 1
    for left, right in zip(cached, plain, strict=True):
        same(left, right)


def test_after_a_picture_that_is_context(model, name):
    shown = pictures(name, 2)
    samples = [
        Sample((Segment("image", picture), Segment("text", text), Segment("image", None, target=True)), "edit", key)
        for key, (picture, text) in enumerate(zip(shown, ("red", "two small ears"), strict=True))
    ]
    cached, plain = (tokens(model, samples, guidance=1.5, use_cache=use)[-1] for use in (True, False))
    same(cached, plain)


def test_a_drawing_does_not_depend_on_its_batch(model):
    together = tokens(model, prompts(), guidance=2.0)[-1]
    for row, prompt in enumerate(prompts()):
        same(tokens(model, [prompt], guidance=2.0)[-1], together[row : row + 1])


def test_guidance_matters(model):
    plain, guided = (tokens(model, prompts(), guidance=scale)[-1].float() for scale in (1.0, 6.0))
    assert not torch.allclose(plain, guided, atol=1e-2)


@pytest.mark.parametrize("use_cache", [True, False])
def test_each_row_has_its_own_guidance(model, use_cache):
    scales = [1.0, 4.0, 2.0]
    together = tokens(model, prompts(), guidance=scales, use_cache=use_cache)[-1]
    for row, (prompt, scale) in enumerate(zip(prompts(), scales, strict=True)):
        same(tokens(model, [prompt], guidance=scale, use_cache=use_cache)[-1], together[row : row + 1])


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_another_sampler_for_one_request(model, name, guidance):
    fits = {"ddpm": "DPMSolverMultistepScheduler", "flow": "FlowMatchHeunDiscreteScheduler", "mar": "euler"}
    sampler = next((fits[key] for key in fits if name.startswith(key)), None)
    if sampler is None:
        with pytest.raises(UsageError, match="draws in one way only"):
            tokens(model, prompts(), sampler="euler")
        return
    options = {"guidance": guidance, "sampler": sampler}
    cached, plain = (tokens(model, prompts(), use_cache=use, **options)[-1] for use in (True, False))
    same(cached, plain)
    own = {"flow": "euler", "ddpm": "DDIMScheduler"}.get(name)
    if own is not None:
        assert torch.equal(tokens(model, prompts(), sampler=own)[-1], tokens(model, prompts())[-1])


def test_pictures_on_the_way(model, name):
    tokenizer = model.tokenizers["image"]
    steps = tokens(model, prompts())
    shown = list(generation.paint(model, prompts(), num_steps=4, seed=3))
    assert torch.equal(shown[-1], tokenizer.decode(steps[-1]))
    assert all(picture.shape == shown[-1].shape for picture in shown)
    if model.heads["image"].shift and tokenizer.discrete:
        order = model.heads["image"].places(12)
        order = torch.arange(12) if order is None else order
        for k, picture in enumerate(shown, 1):
            drawn = torch.zeros(12, dtype=torch.bool).index_fill(0, order[:k], True).view(3, 4)
            assert torch.equal(picture[:, 0, drawn], shown[-1][:, 0, drawn])
            assert bool((picture[:, 0, ~drawn] == 128).all())


@pytest.mark.parametrize("name", ["raster", "reversed", "spiral", "random", "next_scale", "regression"])
def test_what_is_sampled_from_is_what_training_scores(name):
    """Of heads that read each token once: what they met while drawing is one teacher-forced pass over the result."""
    model = model_of(name)
    head = model.heads["image"]
    seen: list[torch.Tensor] = []
    inner = head.predict
    head.predict = lambda *given: seen.append(inner(*given)) or seen[-1]
    *_, found = generation.picture_tokens(model, prompts(), guidance=1.0, seed=3)
    model.tokenizers["image"].encode = lambda contents: found
    full = [
        Sample((prompt.segments[0], Segment("image", picture, target=True)), "draw", prompt.key)
        for prompt, picture in zip(prompts(), pictures(name, 3), strict=True)
    ]
    assembly = model.assemble(full)
    hidden = model.run(model.embed(assembly))[0].flatten(0, 1)
    (scored,) = [scored for scored in assembly.scored if scored.head == "image"]
    met = torch.stack(seen, 1) if head.shift else torch.cat(seen, 1)
    torch.testing.assert_close(met, inner(hidden[scored.places]), atol=1e-3, rtol=1e-3)


def test_training_reaches_every_parameter_of_the_head(model, name):
    shown = pictures(name, 4)
    samples = [
        Sample((Segment("image", a), Segment("text", "red"), Segment("image", b, target=True)), "edit", key)
        for key, (a, b) in enumerate(zip(shown[:2], shown[2:], strict=True))
    ]
    model.zero_grad()
    found, _ = model.losses(model.assemble(samples, training=True))
    total, count = found["image"]
    assert bool(total.isfinite())
    assert int(count) > 0
    total.backward()
    idle = [key for key, value in model.heads["image"].named_parameters() if value.grad is None]
    assert not idle
    model.zero_grad()


def test_saved_loaded_and_copied_it_draws_the_same(name, tmp_path):
    model = model_of(name, tokenizer=Codes if HEADS[name][1] is Grid else None)  # a class that YAML may name
    save(model, tmp_path / "model")
    expected = tokens(model, prompts())[-1]
    for other in (load(tmp_path / "model"), copy.deepcopy(model)):
        assert torch.equal(tokens(other, prompts())[-1], expected)


@pytest.mark.slow
def test_a_model_that_overfits_draws_what_it_was_taught(name):
    """Three captions, three pictures: every head finds the right one."""
    model = model_of(name, stirred=False)
    shown, words = pictures(name, 3), ("fox", "two small ears", "no")
    samples = [
        Sample((Segment("text", word), Segment("image", picture, target=True)), "draw", key)
        for key, (word, picture) in enumerate(zip(words, shown, strict=True))
    ]
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    for step in range(250):
        batch = [replace(s, key=1000 * k + 12 * step + s.key) for k in range(4) for s in samples]
        total, count = model.losses(model.assemble(batch, training=True))[0]["image"]
        optimizer.zero_grad()
        (total / count).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    drawn = generation.draw(model, words, num_steps=12, guidance=1.0).float()
    error = (drawn[:, None] - shown[None].float()).square().flatten(2).mean(-1)
    assert error.argmin(1).tolist() == [0, 1, 2]
    assert float(error.diagonal().mean()) < 0.35 * float(error.mean())


@pytest.mark.parametrize("order", ["causal", "full"])
def test_who_sees_whom_in_a_picture_is_one_line(order):
    """A flow head over a causal span: no place sees the next, in training and in drawing, cached or not."""
    model = tiny.model(
        processor=tiny.single(orders={"image": order}),
        tokenizers={"text": tiny.word(), "image": Vectors()},
        heads={"text": next_token(), "image": flow()},
    )
    cached, plain = (tokens(model, prompts(), guidance=2.0, use_cache=use) for use in (True, False))
    for left, right in zip(cached, plain, strict=True):
        same(left, right)
    shown = pictures("flow", 1).repeat(2, 1, 1, 1)
    shown[1, :, -1, -1] += 100  # in the last token only
    samples = [Sample((Segment("text", "red"), Segment("image", picture, target=True)), "draw") for picture in shown]
    assembly = model.assemble(samples, fixed_time=0.5)
    hidden = model.run(model.embed(assembly))[0].flatten(0, 1)
    first, second = torch.cat([hidden[scored.places] for scored in assembly.scored if scored.head == "image"])
    assert model.heads["image"].order == "full"
    assert not torch.allclose(first[-1], second[-1], atol=1e-3)
    assert torch.allclose(first[0], second[0], atol=1e-5) == (order == "causal")
    with pytest.raises(UsageError, match="leave the order to the head"):
        tiny.model(
            processor=tiny.single(continuous=(), orders={"image": "full"}),
            tokenizers={"text": tiny.word(), "image": Codes()},
            connectors={},
            heads={"text": next_token(), "image": next_token()},
        )


def test_pictures_of_growing_scales_from_a_tokenizer_that_learns_them():
    """The same head on the installed multi-scale tokenizer: each step shows a finer picture."""
    torch.manual_seed(0)
    tokenizer = multiscale_vq(8, 2, sides=(1, 2, 4), num_codes=16, latent_dim=4, width=8)
    tokenizer.reconstruct(torch.rand(4, 3, 8, 8) * 2 - 1)
    tokenizer.standardize(torch.stack(tiny.pictures(4, 8)))
    model = tiny.model(
        processor=tiny.single(continuous=()),
        tokenizers={"text": tiny.word(), "image": tokenizer.eval()},
        connectors={},
        heads={"text": next_token(), "image": next_scale()},
    )
    cached, plain = (tokens(model, prompts(), guidance=1.5, use_cache=use) for use in (True, False))
    assert [step.shape[1] for step in cached] == [1, 5, 21]
    for left, right in zip(cached, plain, strict=True):
        assert torch.equal(left, right)
    shown = list(generation.paint(model, prompts(), guidance=1.5, seed=3))
    assert [picture.shape for picture in shown] == [(3, 3, 8, 8)] * 3
    assert torch.equal(shown[1], tokenizer.decode(cached[1]))


@pytest.mark.parametrize("order", ["raster", "reversed", "spiral", "random"])
def test_each_token_has_the_position_of_its_true_place(order):
    """One table for a picture that is context, in raster order, and one that is drawn in another."""
    model = model_of(order)
    shown = pictures(order, 2)
    segments = (Segment("image", shown[0]), Segment("text", "red"), Segment("image", shown[1], target=True))
    assembly = model.assemble([Sample(segments, "edit")])
    embedded = model.embed(assembly).embeddings.view(-1, model.dim)
    table = model.positions["image"].weight
    places = model.heads["image"].places(12)
    codes = model.tokenizers["image"].encode(shown)
    starts = (assembly.layout.modality[0] == 1).nonzero().flatten().view(2, 12)
    for number, where in enumerate((torch.arange(12), torch.arange(12) if places is None else places)):
        words = model.vocabulary.embed(model.vocabulary.ids("image", codes[number, where]))
        torch.testing.assert_close(embedded[starts[number]], words + table[where])
