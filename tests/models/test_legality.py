from __future__ import annotations

from dataclasses import replace

import pytest

from mmgraph.blocks import dense, experts_by_modality, experts_by_role, gated_cross_attention
from mmgraph.connectors import fusion, linear, q_former
from mmgraph.errors import UsageError
from mmgraph.heads import ddpm, flow, mar, masked, next_scale, next_token, regression
from mmgraph.models import UnifiedModel
from mmgraph.processors import Processor, clean_and_noised, dual_switched, fused, single
from mmgraph.sequence import Span
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


class Learned(Elsewhere):
    """Like `single`, with queries: four of them as they should be, and some as told."""

    def templates(self):
        span = Span(0, "image", "learned", source="queries", num_queries=4)
        return [*single().templates(), span, replace(span, **self.changes)]


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
    TWO = {"tokenizers": {**PARTS, "semantic": patch(8, 2)}, "connectors": {"image": fusion()}}
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
            {**SCALES, "processor": clean_and_noised(continuous=())},
            {**CODES, "processor": clean_and_noised(continuous=()), "heads": {"image": masked()}},
            {"processor": Learned()},
            {"processor": fused(), **TWO},
            {"processor": dual_switched(), **TWO, "connectors": {"image": linear(), "semantic": q_former(2, 2)}},
            {"block": gated_cross_attention(experts_by_role(4), 4)},
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
            ({"processor": Learned(num_queries=0)}, ["Learned", "queries 'learned' 0 positions", "1 or more"]),
            ({"processor": Learned(num_queries=5)}, ["Learned", "5 positions here and 4 there"]),
            ({"processor": Learned(head="image")}, ["Learned", "the head 'image'", "read and not scored"]),
            ({"processor": Learned(connector="image")}, ["Learned", "a connector"]),
            ({"processor": Learned(place="memory")}, ["Learned", "the place 'memory'"]),
            ({"processor": Learned(modality="text")}, ["Learned", "the modality 'text'"]),
            # copies, and two readings of one picture
            (
                {**CODES, "processor": clean_and_noised(continuous=()), "heads": {"image": next_token()}},
                ["'image' (Codes)", "only their own", "single"],
            ),
            (
                {"processor": clean_and_noised(), "heads": {"text": next_token(), "image": regression()}},
                ["'image' (PatchTokenizer)", "RegressionHead", "reads the tokens as they are"],
            ),
            ({"processor": fused()}, ["FusedProcessor", "tokenizer 'semantic'", "model.tokenizers"]),
            (
                {"processor": fused(), "tokenizers": {**PARTS, "semantic": patch(8, 2)}},
                ["FusedProcessor", "connector 'image' (LinearConnector)", "such as fusion"],
            ),
            (
                {"processor": fused(), "tokenizers": {**PARTS, "semantic": Codes()}, "connectors": {"image": fusion()}},
                ["FusedProcessor", "'semantic' (Codes)", "gives codes"],
            ),
            (
                {"processor": Elsewhere(beside="semantic", role="target", head="image"), **TWO},
                ["Elsewhere", "fuses 'semantic'", "would show what they are"],
            ),
            (
                {"processor": Elsewhere(connector="other"), "connectors": {"image": linear(), "other": q_former(2, 2)}},
                ["'other' makes 2 positions of tokenizer 'image'", "another makes 4"],
            ),
            # blocks with weights for some modalities
            (
                {"block": experts_by_modality(4, modalities=["text", "audio"])},
                ["SingleProcessor", "image spans", "ExpertsByModalityBlock has weights for text, audio only"],
            ),
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
