"""What data sets of one graph have in common: the graph that models read, and the tasks that any graph can give."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from mmgraph.datasets import Dataset, Protocol
from mmgraph.graphs import MultimodalGraph
from mmgraph_datasets.node_links import Links
from mmgraph_datasets.node_tasks import TASKS, NodeTasks


class GraphDataset(Dataset):
    """A data set of one graph; `describe` and `link` are trained where they are asked for by weight.

    Subclasses give `whole_graph`, `said` and `about`.

    Args:
        batch_size: Samples per step and process.
        tasks: Weight of each task; None: draw, name and ask.
        protocol: As in `Dataset`.
        seed: As in `Dataset`.
        steps_per_epoch: As in `Dataset`.
        world: Name of the data, part of the hash that divides the pairs of `link`.
        link_relation: The relation that `link` asks for.
        num_negatives: Pairs that are not joined, beside each that is.
        graph: Whether samples begin with their node and its neighbourhood.
    """

    supported_tasks = (*Dataset.supported_tasks, *TASKS)

    def __init__(
        self,
        batch_size: int,
        tasks: Mapping[str, float] | None,
        *,
        protocol: Protocol,
        seed: int,
        steps_per_epoch: int | None,
        world: str,
        link_relation: str,
        num_negatives: int,
        graph: bool,
    ) -> None:
        tasks = dict.fromkeys(Dataset.supported_tasks, 1.0) if tasks is None else tasks
        super().__init__(batch_size, tasks, protocol=protocol, seed=seed, steps_per_epoch=steps_per_epoch)
        self.graph_segments = graph
        self._asked_links = (world, link_relation, num_negatives) if self.tasks.get("link", 0) > 0 else None
        self._own_tasks = {task for task in TASKS if self.tasks.get(task, 0) > 0}

    @property
    @abstractmethod
    def whole_graph(self) -> MultimodalGraph:
        """The graph with all its edges."""

    @abstractmethod
    def said(self, item: int) -> str:
        """Return what a prompt says of a node; never empty."""

    @abstractmethod
    def about(self, item: int) -> dict[str, Any]:
        """Return what is known of a node, for `Sample.meta`."""

    @functools.cached_property
    def graph(self) -> MultimodalGraph:
        """What models read: the whole graph, and where links are asked, without the edges of held-out pairs."""
        return self.links.messages if self.links is not None else self.whole_graph

    @functools.cached_property
    def links(self) -> Links | None:
        """The pairs of the task `link`; None where it has no weight."""
        if self._asked_links is None:
            return None
        return self._links(*self._asked_links)

    def _links(self, world: str, relation: str, num_negatives: int) -> Links:
        return Links(self.whole_graph, relation, world=world, num_negatives=num_negatives)

    @functools.cached_property
    def node_tasks(self) -> NodeTasks | None:
        """The tasks `describe` and `link`; None where neither has a weight."""
        if not self._own_tasks:
            return None
        return NodeTasks(
            self.graph,
            self.items,
            text=self.said,
            meta=self.about,
            segments=self.graph_segments,
            tasks=self._own_tasks,
            links=self.links,
        )
