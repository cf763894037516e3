"""Which parts may stand together, from what they declare; the rest is refused before anything is built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mmgraph.blocks import Block
from mmgraph.errors import UsageError, nearest
from mmgraph.heads import Head
from mmgraph.processors import Processor
from mmgraph.sequence import Span
from mmgraph.tokenizers import Tokenizer


def check_parts(
    processor: Processor,
    tokenizers: Mapping[str, Tokenizer],
    connectors: Mapping[str, object],
    heads: Mapping[str, Head],
    block: Block,
) -> None:
    """Refuse a processor's spans that the model's parts cannot serve.

    Raises:
        UsageError: Naming the two parts that disagree and what would fit.
    """
    who = type(processor).__name__
    owners: dict[tuple[str, str], str] = {}
    for span in processor.templates():
        for kind, name, parts in (
            ("tokenizer", span.tokenizer, tokenizers),
            ("connector", span.connector, connectors),
        ):
            if name is not None and name not in parts:
                raise UsageError(
                    f"{who} makes {span.modality} spans with the {kind} '{name}', which the model does not have. "
                    f"{nearest(name, parts)} Add it under model.{kind}s."
                )
        if span.source == "queries":
            raise UsageError(
                f"{who} makes {span.modality} spans of source 'queries', but the UnifiedModel reads items only; use "
                "another processor."
            )
        if span.place == "memory" and not block.reads_memory:
            raise UsageError(
                f"{who} places {span.modality} in memory, but the block {type(block).__name__} attends to the sequence "
                "only; use a block with cross-attention, or place it in the sequence."
            )
        if span.place == "memory" and (span.role == "target" or span.modality == "text"):
            raise UsageError(
                f"{who} places {span.modality} spans of role '{span.role}' in memory; only context that is not text "
                "can stand there."
            )
        for kind, part in (("connector", span.connector), ("head", span.head)):
            owner = owners.setdefault((kind, part), span.tokenizer) if part is not None else span.tokenizer
            if owner != span.tokenizer:
                raise UsageError(
                    f"{who} joins the {kind} '{part}' to the tokenizers '{owner}' and '{span.tokenizer}', but it is "
                    f"built for one; give each tokenizer a {kind} of its own."
                )
        _check_span(span, tokenizers[span.tokenizer], heads.get(span.head or ""))


def _check_span(span: Span, tokenizer: Tokenizer, head: Head | None) -> None:
    who = f"tokenizer '{span.tokenizer}' ({type(tokenizer).__name__})"
    if span.connector is None and not tokenizer.discrete:
        raise UsageError(f"{who} gives vectors, but its spans name no connector; add one, or use a discrete tokenizer.")
    if span.connector is not None and tokenizer.discrete:
        raise UsageError(
            f"{who} gives codes, which the vocabulary embeds, but its spans name the connector "
            f"'{span.connector}'; leave '{span.modality}' out of the processor's `continuous`, or use a "
            "continuous tokenizer."
        )
    if head is None:
        return
    if head.discrete != tokenizer.discrete:
        needs, gives = ("codes", "vectors") if head.discrete else ("vectors", "codes")
        raise UsageError(
            f"head '{span.head}' ({type(head).__name__}) models {needs}, but {who} gives {gives}; use a "
            f"{'discrete' if head.discrete else 'continuous'} tokenizer or another head."
        )
    blocks = type(head).span_order is not Head.span_order
    if span.order is not None and (blocks or (head.shift and span.order == "full")):
        raise UsageError(
            f"the spans of {who} have the order '{span.order}', but head '{span.head}' ({type(head).__name__}) "
            "predicts what it would then see, or needs an order of its own; leave the order to the head."
        )
    if not tokenizer.decodes:
        raise UsageError(f"{who} cannot decode, so no head can generate with it; use it for context only.")


def check_width(span: Span, num_tokens: int, width: int) -> None:
    """Refuse a head on a span that takes more or fewer positions than it has tokens."""
    if width != num_tokens:
        raise UsageError(
            f"the connector '{span.connector}' makes {width} positions of {num_tokens} tokens, but the head "
            f"'{span.head}' models one token at each; use a connector that keeps their number, such as linear."
        )


def check_names(option: str, given: Iterable[str], known: Iterable[str], what: str) -> None:
    """Refuse an option that names something the model does not have."""
    names = list(known)
    for name in given:
        if name not in names:
            raise UsageError(f"{option} names the {what} '{name}'. {nearest(name, names)}")


def check_shares(option: str, shares: Mapping[str, float]) -> None:
    """Refuse probabilities of disjoint events that cannot be."""
    total = sum(shares.values())
    if total > 1 or any(share < 0 for share in shares.values()):
        raise UsageError(
            f"the shares of {option} must be 0 or more and at most 1 in sum, not {total:g}: one draw decides."
        )
