"""The suites catch what they promise to catch: each broken plugin here breaks one promise."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mmgraph import blocks, connectors, heads, processors, registry, testing, tokenizers
from mmgraph.datasets import Dataset
from mmgraph.errors import UsageError
from mmgraph.metrics import Meaning, PictureMetric, Score
from mmgraph.sequence import Sample, Segment
from mmgraph.testing.stand_ins import TEXTS, Codes, Vectors, pictures

Byte, Patch, Word = tokenizers.byte, tokenizers.patch, tokenizers.word
Dense, Linear, Flow, NextToken = blocks.dense, connectors.linear, heads.flow, heads.next_token
Single = processors.single


def broken(kind: str, cls: type, promise: str, message: str, make: Any = None) -> None:
    """Assert that a promise whose name contains `promise` is found broken, saying `message`."""
    found = [check for check in testing.check(kind, cls, make=make) if check.error is not None]
    names = [check.name for check in found]
    assert any(promise in name for name in names), names
    assert any(message in str(check.error) for check in found if promise in check.name), found


class TestTokenizers:
    def test_state_outside_the_buffers(self):
        class Forgetful(Word):
            """Keeps its words in Python only."""

            fitted_buffers = ()

            def __init__(self) -> None:
                super().__init__()

            @property
            def fitted(self) -> bool:
                return bool(self._names)

            def restore(self) -> None:
                self._names = ["<unk>", *sorted({w for text in TEXTS for w in text.lower().split()})]
                self._codes = {name: code for code, name in enumerate(self._names)}

            def _load_from_state_dict(self, *arguments: Any) -> None:
                pass

        broken("tokenizers", Forgetful, "travels as tensors", "not fitted after loading")

    def test_random_codes(self):
        class Noisy(Patch):
            """Adds noise from the global state."""

            def __init__(self) -> None:
                super().__init__()

            def encode(self, contents: Tensor) -> Tensor:
                return super().encode(contents) + 1e-3 * torch.randn(1)

        broken("tokenizers", Noisy, "nor on any random state", "torch's global random state")

    def test_normalised_over_the_batch(self):
        class Centred(Patch):
            """Subtracts the batch's mean."""

            def __init__(self) -> None:
                super().__init__()

            def encode(self, contents: Tensor) -> Tensor:
                tokens = super().encode(contents)
                return tokens - tokens.mean(0)

        broken("tokenizers", Centred, "do not depend on what is encoded beside", "keep rows apart")

    @pytest.mark.parametrize(
        ("changes", "promise", "message"),
        [
            ({"codebook_size": 100}, "int64 codes", "codes are 0 to 99"),
            ({"modality": "smell"}, "Declares", "'smell', not one of text"),
            ({"discrete": None}, "Declares", "set it to True or False"),
            ({"fitted_buffers": ("table",)}, "Declares", "register them"),
            ({"decode": lambda self, tokens: ["?" for _ in tokens]}, "Decoding undoes", "came back as '?'"),
            ({"__doc__": None}, "documented", "has no docstring"),
        ],
    )
    def test_one_thing_wrong(self, changes, promise, message):
        def __init__(self) -> None:  # noqa: N807
            Byte.__init__(self)

        cls = type("Odd", (Byte,), {"__doc__": "Bytes.", "__init__": __init__, **changes})
        broken("tokenizers", cls, promise, message)

    def test_a_fit_that_reads_twice(self):
        class Twice(Word):
            """Reads the texts a second time."""

            def __init__(self) -> None:
                super().__init__()

            def fit(self, contents: Any) -> None:
                list(contents)
                super().fit(contents)

        broken("tokenizers", Twice, "reads contents once", "no word")

    def test_contents_of_ones_own(self):
        big = pictures(4, 48)
        testing.assert_conforms("tokenizers", Patch, lambda: Patch(48, 8), contents=big)
        with pytest.raises(AssertionError, match=r"\(3, 32, 32\)"):
            testing.assert_conforms("tokenizers", Patch, contents=big)


class TestConnectors:
    @pytest.mark.parametrize(
        ("changes", "promise", "message"),
        [
            ({"num_tokens": lambda self, n: 2 * n}, "known before", "the width say (3, 2, 64)"),
            (
                {"forward": lambda self, t, context=None: self.projection(t - t.mean(0))},
                "do not depend on the other rows",
                "normalise within rows",
            ),
            (
                {"forward": lambda self, t, context=None: self.projection(t.detach())},
                "Gradients reach",
                "no gradient reaches the tokens",
            ),
        ],
    )
    def test_one_thing_wrong(self, changes, promise, message):
        broken("connectors", type("Odd", (Linear,), {"__doc__": "Odd.", **changes}), promise, message)

    def test_a_stale_size(self):
        class Stale(Linear):
            """Builds once."""

            def build(self, tokenizer: Any, dim: int) -> None:
                if not hasattr(self, "projection"):
                    super().build(tokenizer, dim)

        broken("connectors", Stale, "leaves no stale size", "")


class TestBlocks:
    def block(self, **changes: Any) -> type:
        def __init__(self, num_heads: int = 8) -> None:  # noqa: N807
            Dense.__init__(self, num_heads)

        def spawn(self) -> Any:
            return type(self)(self.num_heads)

        return type("Odd", (Dense,), {"__doc__": "Odd.", "__init__": __init__, "spawn": spawn, **changes})

    def test_attention_without_the_mask(self):
        def forward(self, hidden, sequence, cache=None):
            query = key = value = hidden[:, None]
            return hidden + F.scaled_dot_product_attention(query, key, value)[:, 0], {}

        cls = self.block(forward=forward)
        broken("blocks", cls, "never changes an earlier one", "positions 0, 1, 2")
        broken("blocks", cls, "its own span may see", "moved")
        broken("blocks", cls, "Padding, other rows", "padded position")

    def test_plain_causal_attention_everywhere(self):
        def forward(self, hidden, sequence, cache=None):
            query = key = value = hidden[:, None]
            return hidden + F.scaled_dot_product_attention(query, key, value, is_causal=True)[:, 0], {}

        broken("blocks", self.block(forward=forward), "see each other", "does not reach all its tokens")

    def test_time_on_every_position(self):
        def forward(self, hidden, sequence, cache=None):
            hidden, losses = Dense.forward(self, hidden, sequence, cache)
            return hidden if sequence.condition is None else hidden + sequence.condition.mean(), losses

        broken("blocks", self.block(forward=forward), "Time changes its own span", "before it")

    def test_a_cache_that_is_not_read(self):
        def forward(self, hidden, sequence, cache=None):
            if cache is not None:
                sequence.keys = None
                sequence.__dict__.pop("mask", None)
            return Dense.forward(self, hidden, sequence, None)

        broken("blocks", self.block(forward=forward), "over a cache", "differ with a cache")

    @pytest.mark.parametrize(
        ("changes", "promise", "message"),
        [
            ({"spawn": lambda self: self}, "Spawning gives", "prototype parameters"),
            ({"spawn": lambda self: Dense(4)}, "Spawning gives", "`spawn` gave a DenseBlock"),
            (
                {"forward": lambda self, h, s, c=None: (F.dropout(h, 0.1), {})},
                "no dropout",
                "torch's global random state",
            ),
            (
                {"forward": lambda self, h, s, c=None: (h, {"aux": torch.ones(2)})},
                "auxiliary losses as finite scalars",
                "'aux'",
            ),
            (
                {"forward": lambda self, h, s, c=None: (h[:, :-1], {})},
                "Keeps the shape",
                "(2, 11, 64)",
            ),
        ],
    )
    def test_one_thing_wrong(self, changes, promise, message):
        broken("blocks", self.block(**changes), promise, message)

    def test_twin_weights(self):
        def build(self, dim, condition_dim):
            with torch.random.fork_rng():
                torch.manual_seed(7)
                Dense.build(self, dim, condition_dim)

        broken("blocks", self.block(build=build), "Spawning gives", "start with equal")


class TestHeads:
    def head(self, base: type = Flow, **changes: Any) -> type:
        def __init__(self) -> None:  # noqa: N807
            base.__init__(self)

        return type("Odd", (base,), {"__doc__": "Odd.", "__init__": __init__, **changes})

    def test_a_mean_instead_of_a_sum(self):
        def loss(self, hidden, prepared, condition=None):
            total, count = Flow.loss(self, hidden, prepared, condition)
            return total / count, count

        broken("heads", self.head(loss=loss), "both add up over spans", "return a sum, not a mean")

    def test_scoring_what_is_not_to_be_scored(self):
        def loss(self, hidden, prepared, condition=None):
            everything = torch.ones_like(prepared.score_mask)
            prepared.score_mask, kept = everything, prepared.score_mask
            total, _ = Flow.loss(self, hidden, prepared, condition)
            prepared.score_mask = kept
            return total, kept.sum()

        broken("heads", self.head(loss=loss), "where score_mask is False", "not scored")

    def test_global_noise(self):
        def prepare(self, tokens, *, random, time=None, noise=None):
            return Flow.prepare(self, tokens, random=random, time=time, noise=torch.randn_like(tokens))

        broken("heads", self.head(prepare=prepare), "comes from the streams", "prepare draws from torch's")
        broken("heads", self.head(prepare=prepare), "Time and noise that are given", "use what is given")

    def test_one_draw_for_the_whole_batch(self):
        def prepare(self, tokens, *, random, time=None, noise=None):
            if time is None:
                time = random.uniform().mean().expand(len(tokens))
            return Flow.prepare(self, tokens, random=random, time=time, noise=noise)

        broken("heads", self.head(prepare=prepare), "whatever is in the batch", "depends on its batch")

    def test_time_outside_its_range(self):
        def prepare(self, tokens, *, random, time=None, noise=None):
            prepared = Flow.prepare(self, tokens, random=random, time=time, noise=noise)
            prepared.time = prepared.time * 1000
            return prepared

        broken("heads", self.head(prepare=prepare), "shapes of the contract", "0 = noise and 1 = data")

    def test_sampling_from_the_global_state(self):
        def sample(self, run, shape, *, num_steps, random, temperature=1.0):
            yield torch.randn(shape)

        broken("heads", self.head(sample=sample), "Sampling yields", "sample draws from torch's")

    def test_any_tokenizer(self):
        def build(self, tokenizer, vocabulary, dim, condition_dim):
            width = tokenizer.codebook_size if tokenizer.discrete else tokenizer.token_dim
            stand_in = type("StandIn", (Vectors,), {"token_dim": width})()
            Flow.build(self, stand_in, vocabulary, dim, condition_dim)

        broken("heads", self.head(build=build), "Refuses a tokenizer", "`build` accepts a tokenizer")

    def test_declarations(self):
        broken("heads", self.head(NextToken, shift=None), "Declares discrete", "`shift` is None")


class TestProcessors:
    def processor(self, **changes: Any) -> type:
        def __init__(self) -> None:  # noqa: N807
            Single.__init__(self)

        return type("Odd", (Single,), {"__doc__": "Odd.", "__init__": __init__, **changes})

    def test_a_missing_template(self):
        def expand(self, segments, task, training):
            spans = Single.expand(self, segments, task, training)
            return [replace(span, connector="clean") if task == "name" else span for span in spans]

        cls = self.processor(expand=expand)
        broken("processors", cls, "has a template with the same parts", "add it to `templates`")

    def test_a_forgotten_segment(self):
        cls = self.processor(expand=lambda self, given, *rest: Single.expand(self, given[:1], *rest))
        broken("processors", cls, "Spans point at segments", "targets are")
        broken("processors", cls, "An open last segment", "must be a target with a head")

    def test_a_coin(self):
        def expand(self, segments, task, training):
            spans = Single.expand(self, segments, task, training)
            return spans[::-1] if random.random() < 0.5 else spans

        broken("processors", self.processor(expand=expand), "same segments give the same spans", "at random")

    def test_an_unknown_modality_let_through(self):
        def expand(self, segments, task, training):
            known = [segment for segment in segments if segment.modality in self.modalities]
            return Single.expand(self, known, task, training)

        broken("processors", self.processor(expand=expand), "A modality it has no parts for", "is accepted")


class Squares(Dataset):
    """Grey squares with their brightness as a name."""

    supported_tasks = ("draw", "name")

    def __init__(self, batch_size: int = 4) -> None:
        super().__init__(batch_size)

    def items(self, split: str) -> range:
        return {"train": range(20), "val": range(20, 24), "test": range(24, 30)}[split]

    def picture(self, item: int) -> Tensor:
        return torch.full((3, 4, 4), 8 * item, dtype=torch.uint8)

    def sample(self, split: str, item: int, task: str, rng: random.Random) -> Sample:
        text, picture = f"{rng.choice(('shade', 'grey'))} {item}", self.picture(item)
        if task == "draw":
            return Sample((Segment("text", text), Segment("image", picture, True)), task, item)
        return Sample((Segment("image", picture), Segment("text", text, True)), task, item)

    def contents(self, modality: str) -> Iterator[Any]:
        for item in self.items("train"):
            yield self.picture(item) if modality == "image" else f"shade {item} grey"

    def evaluation(self, split: str, task: str, limit: int | None = None) -> list[Sample]:
        return [self.sample(split, item, task, random.Random(item)) for item in self.items(split)][:limit]


class TestDatasets:
    def dataset(self, **changes: Any) -> type:
        return type("Odd", (Squares,), {"__doc__": "Odd.", **changes})

    def test_a_good_one(self):
        testing.assert_conforms("datasets", Squares)

    def test_the_global_random_state(self):
        def sample(self, split, item, task, rng):
            return Squares.sample(self, split, item, task, random)

        cls = self.dataset(sample=sample)
        broken("datasets", cls, "is a function of (seed, number)", "Python's global random state")
        broken("datasets", cls, "Every task gives samples", "the same rng gives other samples")

    def test_splits_that_overlap(self):
        cls = self.dataset(items=lambda self, split: range(20))
        broken("datasets", cls, "do not overlap", "shares 0 in 'train'")

    def test_fitting_on_test_pictures(self):
        def contents(self, modality):
            everything = [item for split in ("train", "test") for item in self.items(split)]
            texts = [f"{word} {item}" for item in everything for word in ("shade", "grey")]
            return iter(map(self.picture, everything)) if modality == "image" else iter(texts)

        found = testing.check("datasets", self.dataset(contents=contents))
        (error,) = [check.error for check in found if check.error is not None]
        assert "contents('image') holds 6 contents that only the test split shows" in error

    def test_fitting_on_test_texts(self):
        def contents(self, modality):
            texts = [f"{word} {item}" for item in range(30) for word in ("shade", "grey")]
            return Squares.contents(self, modality) if modality == "image" else iter(texts)

        broken("datasets", self.dataset(contents=contents), "from training items only", "contents('text')")

    def test_an_evaluation_that_changes(self):
        def evaluation(self, split, task, limit=None):
            return Squares.evaluation(self, split, task)[self.seed :][:limit]

        broken("datasets", self.dataset(evaluation=evaluation), "Evaluation lists are fixed", "fix the list")

    def test_no_target(self):
        def sample(self, split, item, task, rng):
            return Sample((Segment("image", self.picture(item).float()),), task, item)

        broken("datasets", self.dataset(sample=sample), "contents of the right types", "is not a target")

    def test_a_loader_that_starts_again(self):
        class Forgetful(Squares):
            """Starts every epoch at its first batch."""

            def train_dataloader(self) -> Any:
                numbers = range(self.num_batches * self.batch_size)
                samples = [self.training_sample(number) for number in numbers]
                return torch.utils.data.DataLoader(samples, self.batch_size, collate_fn=list)

        broken("datasets", Forgetful, "resumes at the trainer's step", "resumed after 2 steps it reads")


class Error(PictureMetric):
    """Mean squared error."""

    name = "error"
    meanings = {"error": Meaning("MSE", "How far the pixels are apart.", "lower")}
    real = "same"

    def __init__(self) -> None:
        pass

    def compute(self, drawn, true, train, *, generator):
        each = (drawn.pixels - true.pixels).square().mean(1)
        return {"error": Score(float(each.mean()), len(each), per_picture=each)}


class TestMetrics:
    def metric(self, **changes: Any) -> type:
        return type("Odd", (Error,), {"__doc__": "Odd.", **changes})

    def test_a_good_one(self):
        testing.assert_conforms("metrics", Error)

    @pytest.mark.parametrize(
        ("compute", "promise", "message"),
        [
            (lambda self, d, t, r, *, generator: {"other": Score(1.0, 3)}, "finite numbers", "no entry"),
            (
                lambda self, d, t, r, *, generator: {"error": Score(float(r.pixels.mean()), len(d))},
                "Too few pictures",
                "with 24 drawn, 24 true, 0 training pictures 'error' is nan",
            ),
            (
                lambda self, d, t, r, *, generator: {"error": Score(float(torch.rand(1)), len(d))},
                "The same generator",
                "torch's global random state",
            ),
            (
                lambda self, d, t, r, *, generator: {"error": Score(2.0, 24, per_picture=torch.ones(24))},
                "their parts agree",
                "the mean of per_picture of 'error' is 1.0",
            ),
        ],
    )
    def test_one_thing_wrong(self, compute, promise, message):
        broken("metrics", self.metric(compute=compute), promise, message)

    def test_declarations(self):
        broken("metrics", self.metric(real="fake"), "Says what each number means", "set 'same' or 'other'")


class TestEveryKind:
    def test_options_without_names_or_types(self):
        class Loose(Linear):
            """Takes anything."""

            def __init__(self, **options: Any) -> None:
                super().__init__()

        class Untyped(Linear):
            """Takes something."""

            def __init__(self, bias=True) -> None:
                super().__init__(bias)

        broken("connectors", Loose, "Options are named", "name each option")
        broken("connectors", Untyped, "Options are named", "`bias` has no type")

    def test_options_that_yaml_cannot_hold(self):
        class Opaque(Linear):
            """Takes a tensor."""

            def __init__(self, start: Tensor = torch.zeros(2)) -> None:  # noqa: B008
                super().__init__()

        broken("connectors", Opaque, "makes it again", "cannot be written into a configuration")

    def test_what_is_no_plugin_or_cannot_be_made(self):
        class Needy(Linear):
            """Has an option without a default."""

            def __init__(self, width: int) -> None:
                super().__init__()

        (first, second) = testing.check("connectors", Needy)
        assert first.error is None
        assert "Give every option a default, or pass `make=`" in str(second.error)
        testing.assert_conforms("connectors", Needy, lambda: Needy(3))
        broken("connectors", Dense, "derives from the contract", "derived from mmgraph.connectors.Connector")
        broken("connectors", connectors.Connector, "derives from", "lacks build, forward, num_tokens")

    def test_the_message_lists_what_is_broken(self):
        class Odd(Linear):
            """Odd."""

            def num_tokens(self, n: int) -> int:
                return n + 1

        with pytest.raises(AssertionError, match=r"Odd breaks the contract of mmgraph\.connectors:\n- Gives"):
            testing.assert_conforms("connectors", Odd)

    def test_checks_unpack(self):
        checks = testing.check("connectors", Linear)
        assert [(name, error) for name, error in checks] == [(check.name, None) for check in checks]
        assert len({check.name for check in checks}) == len(checks)

    def test_unknown_kind(self):
        with pytest.raises(UsageError, match=r"no conformance suite for 'head'. Did you mean 'heads'"):
            testing.check("head", Flow)

    def test_every_kind_of_class_has_a_suite(self):
        assert set(testing.SUITES) == set(registry.CLASS_KINDS)

    def test_the_callers_random_state_is_left_alone(self):
        torch.manual_seed(5)
        random.seed(5)
        expected = torch.rand(1), random.random()
        torch.manual_seed(5)
        random.seed(5)
        testing.check("heads", Flow)
        testing.check("datasets", Squares)
        assert (torch.rand(1), random.random()) == expected

    @pytest.mark.parametrize("stand_in", [Vectors, Codes])
    def test_the_stand_ins_conform(self, stand_in):
        step = 4 if stand_in is Vectors else 16
        small = [picture[:1, ::step, ::step].clone() for picture in pictures(6)]
        testing.assert_conforms("tokenizers", stand_in, contents=small)
