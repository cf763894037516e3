from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from mmgraph import processors
from tests.testing.broken import broken

Single = processors.single


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

    def test_nothing_to_learn(self):
        def templates(self):
            return [span for span in Single.templates(self) if span.role == "context"]

        cls = self.processor(templates=templates)
        broken("processors", cls, "Templates name their parts", "no template is a target")

    def test_a_forgotten_segment(self):
        cls = self.processor(expand=lambda self, given, *rest: Single.expand(self, given[:1], *rest))
        broken("processors", cls, "Spans point at segments", "the segments 1, target spans are made of none")
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
