"""Which parts may stand beside a head that is apart: one whose pictures a network of its own draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmgraph.errors import UsageError, nearest
from mmgraph.heads import Head
from mmgraph.sequence import Span
from mmgraph.tokenizers import Tokenizer


def check_apart(
    who: str, span: Span, head: Head, tokenizers: Mapping[str, Tokenizer], templates: Sequence[Span]
) -> None:
    """Refuse a span that a head apart cannot draw.

    Args:
        who: The processor.
        span: A target.
        head: Its head.
        tokenizers: By the name that spans use.
        templates: All spans that the processor makes.

    Raises:
        UsageError: Naming the two parts that disagree and what would fit.
    """
    drawn = f"{who} has {span.modality} drawn by the head '{span.head}' ({type(head).__name__})"
    for name in (span.tokenizer, span.beside):
        if name is not None and name not in tokenizers:
            raise UsageError(
                f"{drawn} with the tokenizer '{name}', which the model does not have. {nearest(name, tokenizers)}"
            )
        if name is not None and tokenizers[name].discrete:
            raise UsageError(
                f"{drawn}, which reads vectors, but tokenizer '{name}' ({type(tokenizers[name]).__name__}) gives "
                "codes; use a continuous tokenizer, or a head for codes such as next_token."
            )
    if not tokenizers[span.tokenizer].decodes:
        raise UsageError(
            f"{drawn} with the tokenizer '{span.tokenizer}' ({type(tokenizers[span.tokenizer]).__name__}), which "
            "cannot decode; use one that can."
        )
    asks = head.reads == "queries"
    if asks and not any(own.source == "queries" and own.modality == span.modality for own in templates):
        raise UsageError(
            f"{drawn}, which reads queries, but there are none before it; put mmgraph.processors.queries around the "
            "processor, or let the head read the prompt."
        )


def check_layers(heads: Mapping[str, Head], depth: int) -> None:
    """Refuse a head that reads hidden states after more blocks than there are, or after none.

    Args:
        heads: By name.
        depth: Blocks of the body.
    """
    for name, head in heads.items():
        if head.layer is not None and not 1 <= head.layer <= depth:
            raise UsageError(
                f"the head '{name}' ({type(head).__name__}) reads hidden states after {head.layer} blocks, but the "
                f"body has {depth}; give layer 1 to {depth}, or none for the last."
            )


def check_regressed(span: Span, count: int, queries: Mapping[str, Any]) -> None:
    """Refuse queries that are to become a second tokenizer's tokens, but are more or fewer.

    Args:
        span: A target of a head apart.
        count: Tokens of its `beside`.
        queries: Tables of learned positions.
    """
    for name, table in queries.items():
        if name.startswith(span.modality) and len(table.weight) != count:
            raise UsageError(
                f"{len(table.weight)} queries are to become the {count} tokens of '{span.beside}'; give as many "
                "queries."
            )
