from __future__ import annotations

from dataclasses import replace

import pytest

from mmgraph.blocks import dense
from mmgraph.connectors import linear
from mmgraph.errors import UsageError
from mmgraph.heads import flow, next_token
from mmgraph.models import UnifiedModel
from mmgraph.processors import Processor, single
from mmgraph.testing.stand_ins import Codes
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
        with pytest.raises(UsageError, match=r"'image' \(Seeing\) cannot decode"):
            self.make(tokenizers=tokenizers)
