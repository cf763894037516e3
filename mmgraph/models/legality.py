"""Which parts may stand together, from what they declare; the rest is refused before anything is built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mmgraph.blocks import Block
from mmgraph.connectors import Connector
from mmgraph.errors import UsageError, nearest
from mmgraph.graph_injectors import GraphInjector
from mmgraph.heads import Head
from mmgraph.models.joined import check_apart
from mmgraph.sequence import Span
from mmgraph.tokenizers import Tokenizer


def check_parts(
    who: str,
    templates: Sequence[Span],
    tokenizers: Mapping[str, Tokenizer],
    connectors: Mapping[str, Connector],
    heads: Mapping[str, Head],
    block: Block,
) -> None:
    """Refuse a processor's spans that the model's parts cannot serve.

    Args:
        who: The processor.
        templates: The spans that it makes.
        tokenizers: By the name that spans use.
        connectors: By the name that spans use.
        heads: By the name that spans use.
        block: A layer of the body.

    Raises:
        UsageError: Naming the two parts that disagree and what would fit.
    """
    owners: dict[tuple[str, str], str] = {}
    counts: dict[str, int] = {}
    for span in templates:
        if span.source == "tool":
            continue
        head = heads.get(span.head or "")
        if head is not None and head.apart and span.role == "target":
            check_apart(who, span, head, tokenizers, templates)
            continue
        if block.modalities is not None and not {"text", span.modality} <= set(block.modalities):
            raise UsageError(
                f"{who} makes {span.modality} spans, but the block {type(block).__name__} has weights for "
                f"{', '.join(block.modalities) or 'nothing'} only; give it text, for the markers, and {span.modality}."
            )
        if span.source == "queries":
            _check_queries(who, span, counts.setdefault(span.tokenizer, span.num_queries))
            continue
        for kind, name, parts in (
            ("tokenizer", span.tokenizer, tokenizers),
            ("tokenizer", span.beside, tokenizers),
            ("connector", span.connector, connectors),
        ):
            if name is not None and name not in parts:
                raise UsageError(
                    f"{who} makes {span.modality} spans with the {kind} '{name}', which the model does not have. "
                    f"{nearest(name, parts)} Add it under model.{kind}s."
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
        for kind, part, own in (
            ("connector", span.connector, span.tokenizer),
            ("head", span.head, span.tokenizer),
            ("connector", span.connector if span.beside else None, span.beside),
        ):
            if part is None or own is None:
                continue
            owner = owners.setdefault((f"{kind} beside" if own == span.beside else kind, part), own)
            if owner != own:
                raise UsageError(
                    f"{who} joins the {kind} '{part}' to the tokenizers '{owner}' and '{own}', but it is "
                    f"built for one; give each tokenizer a {kind} of its own."
                )
        if span.beside is not None:
            _check_beside(who, span, connectors.get(span.connector or ""), tokenizers[span.beside])
        _check_span(span, tokenizers[span.tokenizer], head)


def check_graph(injector: GraphInjector | None, block: Block, heads: Mapping[str, Head]) -> None:
    """Refuse a graph injector whose tokens nothing in the model reads.

    Raises:
        UsageError: Naming the two parts that disagree and what would fit.
    """
    if injector is None:
        return
    who = f"the graph injector {type(injector).__name__}"
    if block.modalities is not None and injector.place == "sequence" and "graph" not in block.modalities:
        raise UsageError(
            f"{who} makes graph tokens, but the block {type(block).__name__} has weights for "
            f"{', '.join(block.modalities)} only; give it graph as well."
        )
    if injector.place == "memory" and not block.reads_memory:
        raise UsageError(
            f"{who} places nodes in memory, but the block {type(block).__name__} attends to the sequence only; use a "
            "block with cross-attention, such as mmgraph.blocks.gated_cross_attention."
        )
    if injector.place == "condition" and not any(head.timed and not head.apart for head in heads.values()):
        raise UsageError(
            f"{who} joins the noise level, but no head of the model has one ({', '.join(heads)}); use a head that "
            "denoises, such as mmgraph.heads.flow, or another injector."
        )


def _check_queries(who: str, span: Span, count: int) -> None:
    """Refuse learned queries with parts that only tokens have."""
    for told, wrong in (
        (f"the head '{span.head}'", span.head is not None),
        ("a connector", span.connector is not None or span.beside is not None),
        ("the place 'memory'", span.place == "memory"),
        ("the modality 'text'", span.modality == "text"),
        (f"{span.num_queries} positions", span.num_queries < 1),
        (f"{span.num_queries} positions here and {count} there", span.num_queries != count),
    ):
        if wrong:
            raise UsageError(
                f"{who} gives the queries '{span.tokenizer}' {told}; queries are a fixed number of learned positions "
                "in the sequence, 1 or more, which are read and not scored."
            )


def _check_beside(who: str, span: Span, connector: Connector | None, beside: Tokenizer) -> None:
    """Refuse a second tokenizer where nothing can fuse it, or where it would show what is to be produced."""
    if connector is None or not connector.fuses:
        what = "no connector" if connector is None else f"the connector '{span.connector}' ({type(connector).__name__})"
        raise UsageError(
            f"{who} reads '{span.tokenizer}' and '{span.beside}' as one span, but {what} joins two tokenizers; use "
            "a connector that does, such as fusion."
        )
    if beside.discrete:
        raise UsageError(
            f"{who} fuses '{span.tokenizer}' with '{span.beside}' ({type(beside).__name__}), which gives codes; fuse "
            "with a continuous tokenizer."
        )
    if span.role == "target":
        raise UsageError(
            f"{who} fuses '{span.beside}' into spans of '{span.tokenizer}' that are to be produced, which would show "
            "what they are; fuse context only."
        )


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
    if head.shift and span.visible == "own":
        raise UsageError(
            f"the spans of {who} are noised copies that only their own may see, but head '{span.head}' "
            f"({type(head).__name__}) reads the tokens as they are; use a processor without copies, such as single."
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
