"""The suite of processors: templates that cover what is made, and spans that fit the segments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mmgraph.errors import UsageError
from mmgraph.processors import Processor
from mmgraph.sequence import MODALITIES, Segment, Span
from mmgraph.testing.suite import Suite, expect

TASKS = ("draw", "name", "ask", "any other task")


class ProcessorSuite(Suite):
    """What `mmgraph.processors.Processor` promises."""

    contract = Processor

    def check_templates(self) -> None:
        """Templates name their parts, targets a head, and stay the same."""
        processor = self.make()
        templates = processor.templates()
        expect(templates, "`templates` is empty; the model builds nothing for it.")
        expect(templates == processor.templates(), "`templates` gives another list at the second call.")
        made = any(span.role == "target" for span in templates)
        expect(made, "no template is a target; the model would build no head, and learn nothing.")
        for span in templates:
            expect(
                span.modality in MODALITIES,
                f"a template has the modality {span.modality!r}, not one of {MODALITIES}.",
            )
            expect(
                (span.head is not None) == (span.role == "target"),
                f"a {span.role} template has head={span.head!r}; a head scores exactly the target spans.",
            )

    def check_covered(self) -> None:
        """Every span that `expand` gives has a template with the same parts."""
        processor = self.make()
        known = {_parts(span) for span in processor.templates()}
        for segments, task, training in self._cases():
            for span in processor.expand(segments, task, training):
                expect(
                    _parts(span) in known,
                    f"task '{task}' gives the span {span}, which no template covers; add it to `templates`, "
                    "or the model does not build its parts.",
                )

    def check_spans(self) -> None:
        """Spans point at segments of their sample; target segments, and only they, become target spans."""
        processor = self.make()
        for segments, task, training in self._cases():
            spans = processor.expand(segments, task, training)
            expect(
                isinstance(spans, list) and spans, f"task '{task}' gives {spans!r}; expected a list of spans."
            )
            aimed = set()
            for span in spans:
                expect(
                    0 <= span.item < len(segments),
                    f"span {span} points at segment {span.item} of {len(segments)}.",
                )
                if span.role == "target":
                    aimed.add(span.item if span.target is None else span.target)
            wanted = {index for index, segment in enumerate(segments) if segment.target}
            expect(
                aimed == wanted,
                f"task '{task}': targets are the segments {_listed(wanted)}, target spans are made of "
                f"{_listed(aimed)}.",
            )

    def check_open(self) -> None:
        """An open last segment (content None) gives a last span to generate; contents are not looked at."""
        processor = self.make()
        for segments, task, _ in self._cases():
            opened = (*segments[:-1], replace(segments[-1], content=None))
            spans = processor.expand(opened, task, False)
            expect(
                spans[-1].role == "target" and spans[-1].head is not None,
                f"task '{task}' with an open {opened[-1].modality} segment ends with {spans[-1]}; "
                "generation fills the last span, which must be a target with a head.",
            )

    def check_repeatable(self) -> None:
        """The same segments give the same spans."""
        processor = self.make()
        for segments, task, training in self._cases():
            first, second = (processor.expand(segments, task, training) for _ in range(2))
            expect(
                first == second,
                f"task '{task}' gives other spans at the second call; draw nothing at random.",
            )

    def check_unknown(self) -> None:
        """A modality it has no parts for is refused with a UsageError that names it."""
        processor = self.make()
        known = {span.modality for span in processor.templates()}
        for modality in sorted(set(MODALITIES) - known):
            try:
                processor.expand((Segment(modality, None, target=True),), "draw", False)
            except UsageError as error:
                expect(modality in str(error), f"the refusal of '{modality}' does not name it: {error}")
            else:
                expect(False, f"a segment of modality '{modality}' is accepted, but no template covers it.")

    def _cases(self) -> Iterator[tuple[tuple[Segment, ...], str, bool]]:
        templates = self.make().templates()
        read = list(dict.fromkeys(span.modality for span in templates if span.role == "context"))
        made = list(dict.fromkeys(span.modality for span in templates if span.role == "target"))
        for target in made:
            last = Segment(target, None, target=True)
            yield (last,), "draw", True
            for task in TASKS:
                for training in (False, True):
                    for context in read:
                        yield (Segment(context, None), last), task, training
                        yield (Segment(context, None), Segment(read[0], None), last), task, training


def _listed(numbers: set[int]) -> str:
    return ", ".join(map(str, sorted(numbers))) or "none"


def _parts(span: Span) -> tuple[str | None, ...]:
    return (span.modality, span.tokenizer, span.connector, span.head, span.role, span.place, span.beside, span.source)


SUITE = ProcessorSuite
