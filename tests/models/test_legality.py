from __future__ import annotations

from dataclasses import replace

import pytest

from mmgraph.blocks import dense
from mmgraph.connectors import linear, q_former
from mmgraph.errors import UsageError
from mmgraph.heads import ddpm, flow, mar, masked, next_scale, next_token, regression
from mmgraph.models import UnifiedModel
from mmgraph.processors import Processor, single
from mmgraph.testing.stand_ins import Codes, ScaleCodes
from mmgraph.tokenizers import byte, patch

PARTS = {"text": byte(), "image": patch(8, 4)}


class Elsewhere(Processor):
    """Like `single`, with one more template of pictures that are read in another way."""

    def __init__(self, **changes: str) -> None:
        self.changes = changes

    def expand(self, segments, task, training):
        return single().expand(segments, task, training)

    def templates(self):
        spans = single().templates()
        return [*spans, replace(spans[-2], **self.changes)]


class Ordered(Elsewhere):
    """Like `single` on codes, with an attention order told for the pictures that are drawn."""

    def __init__(self, order: str) -> None:
        self.order = order

    def templates(self):
        spans = single(continuous=()).templates()
        return [replace(s, order=self.order) if s.modality == "image" and s.head else s for s in spans]


class TestCombinations:
    """What may stand together; a refusal names both parts and what would fit."""

    def make(self, **options) -> UnifiedModel:
        arguments = {
            "processor": single(),
            "tokenizers": PARTS,
            "block": dense(4),
            "heads": {"text": next_token(), "image": flow()},
            "connectors": {"image": linear()},
            "dim": 32,
            "depth": 1,
            **options,
        }
        return UnifiedModel(**arguments)

    CODES = {
        "processor": single(continuous=()),
        "tokenizers": {"text": byte(), "image": Codes()},
        "connectors": {},
    }
    SCALES = {
        **CODES,
        "tokenizers": {"text": byte(), "image": ScaleCodes()},
        "heads": {"text": next_token(), "image": next_scale()},
    }
    WORDS = {"processor": single(["text"], []), "tokenizers": {"text": byte()}, "connectors": {}}

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"heads": {"text": next_token()}},  # pictures are only read
            {"heads": {"image": flow()}},  # texts are only read
            {**WORDS, "heads": {"text": next_token()}},
            {**CODES, "heads": {"text": next_token()}},
            {**CODES, "heads": {"text": next_token(), "image": next_token()}},
            {**CODES, "heads": {"text": next_token(), "image": masked()}},
            {**CODES, "heads": {"text": next_token(), "image": next_token(order="spiral")}},
            {"heads": {"text": next_token(), "image": ddpm()}},
            {"heads": {"text": next_token(), "image": mar()}},
            {"heads": {"text": next_token(), "image": regression()}},
            SCALES,
            {**CODES, "processor": Ordered("causal"), "heads": {"image": next_token()}},
            {**CODES, "processor": Ordered("causal"), "heads": {"image": masked()}},
        ],
    )
    def test_legal(self, options, tiny_samples):
        model = self.make(**options)
        model.build()
        assert model.built

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            # next-token on vectors, flow on codes
            (
                {"heads": {"text": next_token(), "image": next_token()}},
                ["'image' (NextTokenHead)", "'image' (PatchTokenizer)", "a discrete tokenizer"],
            ),
            (
                {"heads": {"text": flow(), "image": flow()}},
                ["'text' (FlowHead)", "'text' (ByteTokenizer)", "a continuous tokenizer"],
            ),
            # vectors without a connector, codes with one
            ({"processor": single(continuous=())}, ["'image' (PatchTokenizer)", "connector", "discrete"]),
            ({"tokenizers": CODES["tokenizers"]}, ["'image' (Codes)", "connector 'image'", "continuous"]),
            # parts that are missing or misspelt
            ({"connectors": {"imgae": linear()}}, ["SingleProcessor", "'image'", "Did you mean 'imgae'"]),
            ({"connectors": None}, ["SingleProcessor", "connector 'image'", "model.connectors"]),
            ({"tokenizers": {"text": byte()}}, ["SingleProcessor", "tokenizer 'image'", "model.tokenizers"]),
            ({"loss_weights": {"imag": 2.0}}, ["loss_weights", "'imag'", "Did you mean 'image'"]),
            ({"condition_dropout": {"txt": 0.1}}, ["condition_dropout", "'txt'", "Did you mean 'text'"]),
            ({"condition_dropout": {"text": 0.7, "image": 0.6}}, ["condition_dropout", "1.3"]),
            # what this model does not read
            ({"processor": Elsewhere(place="memory")}, ["Elsewhere", "in memory", "DenseBlock"]),
            ({"processor": Elsewhere(source="queries")}, ["Elsewhere", "source 'queries'", "UnifiedModel"]),
            (
                {"processor": Elsewhere(tokenizer="other"), "tokenizers": {**PARTS, "other": patch(8, 2)}},
                ["Elsewhere", "connector 'image'", "'image' and 'other'"],
            ),
            # heads and the spans they draw
            ({"connectors": {"image": q_former(2, 2)}}, ["'image' makes 2 positions of 4 tokens", "such as linear"]),
            (
                {**CODES, "heads": {"text": next_token(), "image": next_scale()}},
                ["Codes has no scales", "multi-scale tokenizer"],
            ),
            ({**CODES, "heads": {"text": masked()}}, ["the texts of ByteTokenizer have any length", "next_token"]),
            ({**CODES, "heads": {"text": next_token(order="spiral")}}, ["order 'spiral'", "ByteTokenizer", "raster"]),
            ({**CODES, "heads": {"image": ddpm()}}, ["DDPMHead", "'image' (Codes)", "a continuous tokenizer"]),
            ({**CODES, "heads": {"image": mar()}}, ["MARHead", "'image' (Codes)", "a continuous tokenizer"]),
            ({**CODES, "heads": {"image": regression()}}, ["RegressionHead", "'image' (Codes)", "a continuous"]),
            ({"heads": {"image": masked()}}, ["MaskedHead", "'image' (PatchTokenizer)", "a discrete tokenizer"]),
            ({"heads": {"image": next_scale()}}, ["NextScaleHead", "'image' (PatchTokenizer)", "a discrete"]),
            (
                {**CODES, "processor": Ordered("full"), "heads": {"image": next_token()}},
                ["'image' (Codes)", "order 'full'", "NextTokenHead"],
            ),
            ({**SCALES, "processor": Ordered("causal")}, ["'image' (ScaleCodes)", "order 'causal'", "NextScaleHead"]),
            # sizes
            ({"dim": 30}, ["num_heads 4", "dim 30"]),
        ],
    )
    def test_illegal(self, options, named):
        with pytest.raises(UsageError) as caught:
            self.make(**options).build()
        for part in named:
            assert part in str(caught.value)

    def test_an_encoder_that_cannot_decode_is_for_context_only(self):
        class Seeing(type(patch())):
            decodes = False

        tokenizers = {"text": byte(), "image": Seeing(8, 4)}
        self.make(tokenizers=tokenizers, heads={"text": next_token()}).build()
        for head in (flow(), regression()):
            with pytest.raises(UsageError, match=r"'image' \(Seeing\) cannot decode"):
                self.make(tokenizers=tokenizers, heads={"text": next_token(), "image": head})
