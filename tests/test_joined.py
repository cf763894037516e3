"""Models joined with a denoiser: training, generation with the prompt read once, held-out losses, saving."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from lightning import Trainer

from mmgraph import generation, inspection, processors
from mmgraph.connectors import linear
from mmgraph.denoisers import dit, mmdit, unet
from mmgraph.errors import UsageError
from mmgraph.evaluation.losses import TIMES, held_out
from mmgraph.heads import ddpm, denoising, flow, next_token
from mmgraph.models import Stage, load, save
from mmgraph.sequence import Sample, Segment
from mmgraph.testing.stand_ins import Codes, pictures
from mmgraph.tokenizers import patch
from mmgraph.vocabulary import BOI, BOS, EOI, EOS, NULL
from tests import tiny
from tests.evaluation.world import Squares

FOX, YES = Segment("text", "a red fox"), Segment("text", "yes")
SHOWN = pictures(8, tiny.SIZE)


def network():
    return dit(16, 1, num_heads=2, patch_size=1, conditioning="cross_attention")


def queries(**options: Any):
    return processors.queries(processors.single(), 4, **options)


KINDS: dict[str, dict[str, Any]] = {
    "hidden states": {"processor": processors.single, "image": lambda: denoising(network(), flow())},
    "earlier states": {"processor": processors.single, "image": lambda: denoising(network(), flow(), layer=1)},
    "copies": {
        "processor": processors.clean_and_noised,
        "image": lambda: denoising(mmdit(16, 1, num_heads=2, patch_size=1), ddpm("epsilon", num_levels=20)),
    },
    "aligner": {
        "processor": processors.single,
        "image": lambda: denoising(network(), flow(), width=24, connector_depth=1, connector_tokens=3),
    },
    "queries": {
        "processor": queries,
        "image": lambda: denoising(network(), flow(), reads="queries", connector_depth=1),
    },
    "regressed queries": {
        "processor": lambda: queries(regressed="semantic"),
        "image": lambda: denoising(unet((8,), num_heads=2), flow("velocity"), reads="queries"),
    },
}


def model_of(name: str, **options: Any):
    kind = KINDS[name]
    tokenizers = {"text": tiny.word(), "image": patch(tiny.SIZE, 4)}
    if name == "regressed queries":
        tokenizers["semantic"] = patch(tiny.SIZE, 4)
    arguments = {
        "processor": kind["processor"](),
        "tokenizers": tokenizers,
        "connectors": {"image": linear()},
        "heads": {"text": next_token(), "image": kind["image"]()},
        **options,
    }
    return tiny.model(**arguments)


@pytest.fixture(params=KINDS, scope="module")
def name(request):
    return request.param


@pytest.fixture(scope="module")
def model(name):
    return tiny.perplexing(model_of(name))


def samples() -> list[Sample]:
    """Samples of every task; two of them go on after what they draw."""
    first, second = (Segment("image", picture) for picture in SHOWN[:2])
    return [
        *tiny.samples()[:4],
        Sample((FOX, tiny.aim(first), tiny.aim(YES)), "draw", 20),
        Sample((first, FOX, tiny.aim(second), tiny.aim(YES)), "edit", 21),
    ]


def sums(model, given, **options) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        found, _ = model.losses(model.assemble(given, **options))
    return {head: torch.stack((total, count.to(total))) for head, (total, count) in found.items()}


def drawing(key: int, *before: Segment) -> Sample:
    return Sample((*before, Segment("image", None, target=True)), "draw", key)


def prompts() -> list[Sample]:
    shown = Segment("image", SHOWN[0])
    return [drawing(0, FOX), drawing(1, shown, Segment("text", "a big red fox with big ears")), drawing(2, YES)]


def tokens(model, given, **options) -> list[torch.Tensor]:
    return list(generation.picture_tokens(model, given, **{"num_steps": 3, "seed": 3, **options}))


def test_training_reaches_every_parameter(model):
    model.zero_grad()
    found, _ = model.losses(model.assemble(samples(), training=True))
    torch.stack([total / count for total, count in found.values()]).sum().backward()
    idle = [key for key, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    model.zero_grad()
    assert idle == []


def test_a_batch_is_the_sum_of_its_samples(model):
    together = sums(model, samples(), seed=3, training=True)
    alone = [sums(model, [sample], seed=3, training=True) for sample in samples()]
    for head, expected in together.items():
        torch.testing.assert_close(sum(part[head] for part in alone if head in part), expected, rtol=1e-4, atol=1e-3)


def test_packing_changes_nothing(name, model):
    packed = tiny.perplexing(model_of(name, row_length=64))
    expected, found = (sums(one, samples(), seed=1, training=True) for one in (model, packed))
    for head, value in expected.items():
        torch.testing.assert_close(found[head], value, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("guidance", [1.0, 2.5, [1.0, 2.0, 3.0]])
def test_reading_the_prompt_once_is_reading_it_at_each_step(model, guidance):
    once, again = (tokens(model, prompts(), guidance=guidance, use_cache=use) for use in (True, False))
    assert len(once) == len(again) == 3
    for left, right in zip(once, again, strict=True):
        assert torch.equal(left, right)


def test_the_body_runs_once_for_a_picture_and_the_denoiser_at_each_step(model):
    ran = {"body": 0, "denoiser": 0}
    hooks = [
        module.register_forward_hook(lambda *_, key=key: ran.update({key: ran[key] + 1}))
        for key, module in (("body", model.blocks[0]), ("denoiser", model.head("image").denoiser))
    ]
    rows = []
    hooks.append(model.head("image").denoiser.register_forward_pre_hook(lambda _, given: rows.append(len(given[0]))))
    tokens(model, prompts(), guidance=2.0, num_steps=5)
    for hook in hooks:
        hook.remove()
    assert ran == {"body": 1, "denoiser": 5}
    assert set(rows) == {6}  # both halves of guidance of three pictures


def test_a_drawing_does_not_depend_on_its_batch(model):
    together = tokens(model, prompts(), guidance=2.0)[-1]
    for row, prompt in enumerate(prompts()):
        torch.testing.assert_close(
            tokens(model, [prompt], guidance=2.0)[-1], together[row : row + 1], atol=2e-3, rtol=2e-3
        )


def test_a_drawing_depends_on_its_prompt_and_on_guidance(model):
    first, other = (tokens(model, [drawing(0, said)], guidance=1.0)[-1] for said in (FOX, YES))
    guided = tokens(model, [drawing(0, FOX)], guidance=3.0)[-1]
    assert not torch.allclose(first, other)
    assert not torch.allclose(first, guided)


def test_what_is_trained_is_what_draws(name, model):
    """The prediction of a training step at a fixed time and noise is that of the sampler, given the same inputs."""
    sample = tiny.samples()[0]
    assembly = model.assemble([sample], seed=3, fixed_time=0.5)
    (scored,) = (part for part in assembly.scored if part.head == "image")
    sequence = model.embed(assembly)
    hidden, _ = model.run(sequence)
    head, seen = model.head("image"), []
    with torch.no_grad():
        expected = head.predict(scored.states(model.read_by(head, hidden, sequence)))
    hook = head.denoiser.register_forward_pre_hook(lambda _, given: seen.append(given))
    tokens(model, [tiny.opened(sample)], guidance=1.0, num_steps=1)
    hook.remove()
    torch.testing.assert_close(seen[0][2], expected[..., :-1], atol=1e-5, rtol=1e-5)
    assert torch.equal(seen[0][3], expected[..., -1] > 0.5)


def test_held_out_losses_are_paired_over_times(model):
    found = held_out(model, Squares(), "val", limit=4)
    assert {task: sorted(heads) for task, heads in found.items()} == {
        "draw": ["image"],
        "name": ["text"],
        "ask": ["text"],
    }
    drawn = found["draw"]["image"]
    assert drawn.by_time is not None
    known = Squares().evaluation("val", "draw", 4000)
    chosen = [replace(known[key * len(known) // 4], key=key) for key in range(4)]
    total, count = sums(model, chosen, fixed_time=TIMES[0])["image"]
    assert drawn.by_time[0].mean() == pytest.approx(float(total / count), rel=1e-5)
    assert drawn.by_time.shape[0] == 5
    again = held_out(model, Squares(), "val", limit=4)["draw"]["image"]
    assert torch.equal(drawn.values, again.values)


def test_saved_and_loaded_it_draws_the_same(model, tmp_path):
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert torch.equal(tokens(again, prompts())[-1], tokens(model, prompts())[-1])


def test_another_sampler_for_one_request(model):
    named = "DPMSolverMultistepScheduler" if isinstance(model.head("image").objective, ddpm) else None
    sampler = named or "FlowMatchHeunDiscreteScheduler"
    usual, other = (tokens(model, prompts(), sampler=which, num_steps=4)[-1] for which in (None, sampler))
    assert usual.shape == other.shape
    assert not torch.allclose(usual, other)


def test_an_inspection_shows_what_is_read(name, model):
    view = inspection.look(model, tiny.samples()[0])
    (scored,) = (part for part in view.scored if part.head == "image")
    before = [piece for piece in view.pieces if piece.label == "4 queries"]
    first, last = (before[0].start, before[0].stop) if "queries" in name else (0, len(scored.states))
    assert scored.states == tuple(range(first, last))
    assert scored.against == "4 vectors of width 48, apart"
    assert scored.terms == 4


@pytest.mark.parametrize(("name", "reaches"), [("hidden states", True), ("earlier states", False)])
def test_what_comes_after_the_states_that_are_read_cannot_change_a_picture(name, reaches):
    model = tiny.perplexing(model_of(name))
    usual = tokens(model, prompts())[-1]
    with torch.no_grad():
        for parameter in model.blocks[1].parameters():
            parameter.mul_(2)
    assert torch.equal(tokens(model, prompts())[-1], usual) is not reaches


class TestLayout:
    """What stands where the picture would."""

    def ids(self, name: str, sample: Sample, **options) -> list[int]:
        return model_of(name).assemble([sample], **options).ids[0].tolist()

    def test_nothing_of_the_picture(self):
        ids = self.ids("hidden states", tiny.samples()[0])
        assert ids[0] == BOS
        assert ids[-3:] == [BOI, EOI, EOS]
        assert len(ids) == 3 + 4

    def test_the_queries(self):
        model = model_of("queries")
        assembly = model.assemble([tiny.samples()[0]])
        assert assembly.layout.modality[0].tolist() == [0] * 5 + [1] * 4 + [0] * 2
        (scored,) = (part for part in assembly.scored if part.head == "image")
        assert scored.places.tolist() == [[5, 6, 7, 8]]

    def test_a_dropped_prompt_leaves_its_marker(self):
        ids = self.ids("hidden states", tiny.samples()[0], training=True)
        dropped = model_of("hidden states", condition_dropout={"text": 1.0})
        assert len(ids) == 7
        assert dropped.assemble([tiny.samples()[0]], training=True).ids[0].tolist() == [
            BOS,
            NULL["text"],
            BOI,
            EOI,
            EOS,
        ]

    def test_the_noise_reaches_no_hidden_state(self):
        model = model_of("copies")
        sample = samples()[4]
        states = [model.run(model.embed(model.assemble([sample], seed=seed)))[0] for seed in (1, 2)]
        assert torch.equal(*states)


class TestTraining:
    """What is trained is configuration."""

    TRAINED = {
        "connector": ["heads.image.connector", "queries"],
        "generator": ["heads.image.denoiser"],
        "both": ["heads.image", "queries"],
    }

    @pytest.mark.parametrize("what", TRAINED)
    def test_understanding_is_unchanged_bit_for_bit_where_the_language_model_is_frozen(self, what, tmp_path):
        model = model_of("queries", stages=[Stage(train=self.TRAINED[what])])
        known = [sample for sample in tiny.samples() if sample.task != "draw"]
        before = model.state_dict()
        before = {key: value.clone() for key, value in before.items()}
        losses, drawn = sums(model, known), tokens(model, prompts())[-1]
        trainer = Trainer(
            max_steps=3,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        )
        trainer.fit(model, datamodule=Squares())
        moved = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
        assert moved
        assert all(key.startswith(tuple(self.TRAINED[what])) for key in moved)
        assert torch.equal(sums(model, known)["text"], losses["text"])
        assert not torch.allclose(tokens(model, prompts())[-1], drawn)


def plain(**options: Any):
    """A text-to-image model: no head for text, and nothing that reads pictures."""
    arguments = {
        "processor": processors.single(continuous=[], produced=["image"]),
        "tokenizers": {"text": tiny.word(), "image": patch(tiny.SIZE, 2)},
        "connectors": {},
        "heads": {"image": denoising(network(), flow())},
        **options,
    }
    return tiny.model(**arguments)


class TestTextToImage:
    @pytest.mark.parametrize("depth", [0, 2])
    def test_it_learns_and_draws(self, depth):
        model = plain(depth=depth)
        drawn = [sample for sample in tiny.samples() if sample.task == "draw"]
        found, _ = model.losses(model.assemble(drawn, training=True))
        total, count = found["image"]
        total.backward()
        assert int(count) == 4 * 16
        idle = [key for key, value in model.named_parameters() if value.grad is None]
        assert idle == ["vocabulary.output.weight"]  # which only a head of text reads
        assert generation.draw(model, ["a red fox", "fox"], num_steps=2, guidance=2.0).shape == (2, 3, 8, 8)

    def test_no_table_of_positions_and_no_time_for_what_nobody_reads(self):
        model = plain()
        assert list(model.positions) == ["text"]
        assert model.condition_dim == 0

    def test_a_task_that_shows_a_picture_is_refused(self):
        with pytest.raises(UsageError, match="task 'name' shows a segment of modality 'image'"):
            plain().assemble([tiny.samples()[1]])


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                {"processor": processors.single(), "heads": {"image": denoising(network(), flow(), reads="queries")}},
                r"drawn by the head 'image' .DenoisingHead., which reads queries, but there are none before it",
            ),
            (
                {"tokenizers": {"text": tiny.word(), "image": Codes()}, "processor": processors.single(continuous=[])},
                "which reads vectors, but tokenizer 'image' .Codes. gives codes",
            ),
            (
                {"processor": queries(regressed="semantic")},
                "with the tokenizer 'semantic', which the model does not have",
            ),
            (
                {
                    "processor": queries(regressed="semantic"),
                    "tokenizers": {"text": tiny.word(), "image": patch(8, 4), "semantic": patch(8, 2)},
                    "heads": {"image": denoising(network(), flow(), reads="queries")},
                },
                "4 queries are to become the 16 tokens of 'semantic'; give as many queries",
            ),
            (
                {"heads": {"image": denoising(network(), flow(), layer=3)}},
                r"'image' .DenoisingHead. reads hidden states after 3 blocks, but the body has 2; give layer 1 to 2",
            ),
        ],
    )
    def test_parts_that_do_not_fit(self, options, message):
        arguments: dict[str, Any] = {"heads": {"image": denoising(network(), flow())}, **options}
        with pytest.raises(UsageError, match=message):
            model_of("hidden states", **arguments)

    def test_a_head_that_regresses_nothing(self):
        with pytest.raises(UsageError, match="FlowHead has no use for a second tokenizer"):
            flow().build_beside(patch(8, 4))

    def test_a_tokenizer_that_only_sees(self):
        class Seeing(patch):  # type: ignore[misc, valid-type]
            """Cannot decode."""

            decodes = False

        parts = {"text": tiny.word(), "image": Seeing(8, 4)}
        with pytest.raises(UsageError, match=r"tokenizer 'image' .Seeing., which cannot decode"):
            model_of("hidden states", tokenizers=parts)
