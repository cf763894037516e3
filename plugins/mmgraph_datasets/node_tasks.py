"""Samples of tasks that any graph can give: a node's text from its neighbourhood, and whether two nodes are joined.

A data set of a graph keeps its own tasks and asks here for these, so that they mean the same everywhere.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from mmgraph.datasets import Split
from mmgraph.graphs import GraphNode, MultimodalGraph
from mmgraph.sequence import Sample, Segment
from mmgraph_datasets.node_links import Links, Pair

TASKS = ("describe", "link")
DESCRIBE = "describe it ."
YES, NO = "yes", "no"


class NodeTasks:
    """The tasks `describe` and `link` of a data set's graph.

    `describe` (Graph2Text): the node's text, its own text and picture hidden, so that only the neighbourhood tells.
    `link`: are two nodes joined by a relation, seen with their texts and neighbourhoods, and without the edge.

    Args:
        graph: The graph that models read.
        items: Gives the nodes of a split.
        text: Gives what is said of a node in a prompt; never empty.
        meta: Gives what is known of a node, for `Sample.meta`.
        segments: Whether samples begin with graph segments.
        tasks: Those in use.
        links: The pairs of `link`; None: no such task.
    """

    def __init__(
        self,
        graph: MultimodalGraph,
        items: Callable[[Split], Sequence[int]],
        *,
        text: Callable[[int], str],
        meta: Callable[[int], Mapping[str, Any]],
        segments: bool,
        tasks: Collection[str] = TASKS,
        links: Links | None = None,
    ) -> None:
        self.graph, self.items, self.text, self.meta = graph, items, text, meta
        self.segments, self.tasks, self.links = segments, tasks, links

    def sample(self, split: Split, item: int, task: str, rng: random.Random) -> Sample | None:
        """Return a sample of a node, or None where it lacks what the task needs."""
        seed = rng.getrandbits(31)
        if task == "describe":
            return self._describe(item, seed) if self.graph.text(item) else None
        if task != "link" or self.links is None:
            return None
        pairs = self.links.of(item) if split == "train" else [p for p in self.links.pairs(split) if item in p]
        if not pairs:
            return None
        if rng.random() < 0.5:
            return self._link(rng.choice(pairs), True, seed)
        other = self.links.negative(item, split, rng)
        return None if other is None else self._link((item, other), False, seed)

    def evaluation(self, split: Split, task: str) -> Iterator[Sample]:
        """Yield the fixed samples; of `link` each joined pair and behind it those of its first node that are not."""
        if task == "describe":
            yield from (self._describe(item) for item in self.items(split) if self.graph.text(item))
        elif task == "link" and self.links is not None:
            for query, pair in enumerate(self.links.pairs(split)):
                yield self._link(pair, True, query=query)
                for other in self.links.negatives(pair, split):
                    yield self._link((pair[0], other), False, query=query)

    def texts(self) -> Iterator[str]:
        """Yield what the tasks in use say beyond the nodes' texts."""
        if "describe" in self.tasks:
            yield DESCRIBE
        if self.links is not None:
            yield from (YES, NO, self._question("", ""))

    def _describe(self, item: int, seed: int = 0) -> Sample:
        text = self.graph.text(item)
        assert text is not None
        segments = (
            *self._seen(item, seed, hidden=("text", "image")),
            Segment("text", DESCRIBE),
            Segment("text", text, target=True),
        )
        return Sample(segments, "describe", item, {**self.meta(item), "answer": text, "kind": "describe"})

    def _link(self, pair: Pair, joined: bool, seed: int = 0, *, query: int = 0) -> Sample:
        item, other = pair
        question = self._question(self.text(item), self.text(other))
        right = YES if joined else NO
        segments = (
            *self._seen(item, seed, without=(pair,)),
            *self._seen(other, seed, without=(pair,)),
            Segment("text", question),
            Segment("text", right, target=True),
        )
        about = {"other": other, "query": query, "joined": joined, "answer": right, "choices": (YES, NO)}
        return Sample(segments, "link", item, {**self.meta(item), **about, "kind": "link", "question": question})

    def _question(self, text: str, other: str) -> str:
        assert self.links is not None
        return f"{text} ; {other} . joined by {self.links.relation.replace('_', ' ')} ?".strip()

    def _seen(
        self, item: int, seed: int, *, hidden: tuple[str, ...] = (), without: tuple[Pair, ...] = ()
    ) -> tuple[Segment, ...]:
        if not self.segments:
            return ()
        return (Segment("graph", GraphNode(self.graph, item, seed, hidden, without)),)
