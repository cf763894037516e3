"""Any multimodal graph as a data set: its nodes drawn, named, asked for their class, described and joined."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmgraph.datasets import Dataset, Protocol, Split
from mmgraph.errors import UsageError
from mmgraph.graphs import GraphNode, MultimodalGraph
from mmgraph.sequence import Sample, Segment
from mmgraph_datasets.division import PROTOCOL_VERSION, SPLITS, split_of
from mmgraph_datasets.graph_dataset import GraphDataset
from mmgraph_datasets.node_tasks import DESCRIBE, TASKS

QUESTION = "which class ?"
NOTHING = "a node"


class NodeDataset(GraphDataset):
    """The nodes of a multimodal graph that Python holds; `MultimodalGraph.from_pyg` makes one of any PyG data set.

    Tasks are those that the nodes allow: `draw` (own text to own picture), `name` (own picture to own text), `ask`
    (`which class ?`, with own text and picture), `describe` and `link`. Nodes that lack what a task needs get another.

    An item is an int: the number of its node.

    Args:
        batch_size: Samples per step and process.
        tasks: Weight of each task; None: draw, name and ask, where nodes allow them.
        multimodal_graph: The graph; without splits its nodes are divided by a hash of their number. Pictures must be
            of one size.
        classes: Class of each node, '' for unknown; None: none is known.
        protocol: `random`, each node by itself, or as the graph's splits say.
        seed: Decides the stream of training samples.
        steps_per_epoch: Batches of one epoch; None: one pass over the training nodes.
        link_relation: The relation that `link` asks for; None: the first.
        num_negatives: Pairs that are not joined, beside each that is.
        graph: Whether samples begin with their node and its neighbourhood.
        name: Name of the data, part of the hash that divides nodes and pairs.

    Raises:
        UsageError: If sizes disagree, a task has nothing to show, or a split is empty.
    """

    protocol_version = PROTOCOL_VERSION

    def __init__(
        self,
        batch_size: int = 64,
        tasks: Mapping[str, float] | None = None,
        *,
        multimodal_graph: MultimodalGraph,
        classes: Sequence[str] | None = None,
        protocol: Protocol = "random",
        seed: int = 0,
        steps_per_epoch: int | None = None,
        link_relation: str | None = None,
        num_negatives: int = 20,
        graph: bool = True,
        name: str = "nodes",
    ) -> None:
        if protocol != "random":
            raise UsageError(f"the nodes of a graph are divided one by one (protocol random), not {protocol}.")
        held = multimodal_graph.with_edges(multimodal_graph.data)  # its own splits may follow
        self._classes = list(classes) if classes is not None else [""] * held.num_nodes
        if len(self._classes) != held.num_nodes:
            raise UsageError(f"{len(self._classes)} classes were given for {held.num_nodes} nodes; one each.")
        both = held.present["text"] & held.present["image"]
        named = torch.tensor([bool(each) for each in self._classes])
        self._can = {"draw": both, "name": both, "ask": named, "describe": held.present["text"]}
        usual = [task for task in Dataset.supported_tasks if bool(self._can[task].any())]
        empty = [task for task, can in self._can.items() if (tasks or {}).get(task, 0) > 0 and not bool(can.any())]
        if empty or not (tasks or usual):
            raise UsageError(
                f"{name} has nothing for the task '{(empty or ['ask'])[0]}': draw and name need nodes with text and "
                "picture, ask needs classes, describe needs texts."
            )
        super().__init__(
            batch_size,
            tasks if tasks is not None else dict.fromkeys(usual, 1.0),
            protocol=protocol,
            seed=seed,
            steps_per_epoch=steps_per_epoch,
            world=name,
            link_relation=link_relation if link_relation is not None else held.relations[0],
            num_negatives=num_negatives,
            graph=graph,
        )
        if not held.splits:
            divided: dict[str, list[int]] = {split: [] for split in SPLITS}
            for node in range(held.num_nodes):
                divided[split_of(name, node)].append(node)
            held.splits = {split: torch.tensor(nodes, dtype=torch.long) for split, nodes in divided.items()}
        wanted = [task for task in ("draw", "name", "ask", "describe") if self.tasks.get(task, 0) > 0]
        usable = torch.stack([self._can[task] for task in wanted]).any(0) if wanted else torch.ones_like(both)
        self._items: dict[Split, list[int]] = {
            split: [n for n in held.splits.get(split, torch.zeros(0)).tolist() if bool(usable[n])] for split in SPLITS
        }
        if not all(self._items.values()):
            sizes = ", ".join(f"{split} {len(items)}" for split, items in self._items.items())
            raise UsageError(f"a split of {name} has no node that its tasks can use ({sizes}).")
        self._whole = held
        self.class_names = tuple(sorted({self._classes[node] for node in self._items["train"]} - {""}))
        edges = held.edge_index.shape[1]
        self.description = f"{name}: {held.num_nodes:,} nodes and {edges:,} edges of {len(held.relations)} relations"

    @property
    def whole_graph(self) -> MultimodalGraph:
        """The graph with all its edges."""
        return self._whole

    def items(self, split: Split) -> Sequence[int]:
        """Return the nodes of a split that the tasks can use."""
        return self._items[split]

    def picture(self, item: int) -> Tensor:
        """Return the picture of a node.

        Raises:
            UsageError: If it has none.
        """
        found = self._whole.image(item)
        if found is None:
            raise UsageError(f"node {item} has no picture.")
        return found

    def identity(self, item: int) -> str:
        """Return the node's number."""
        return f"node {item}"

    def said(self, item: int) -> str:
        """Return the text of a node, `a node` where it has none."""
        return self._whole.text(item) or NOTHING

    def about(self, item: int) -> dict[str, Any]:
        """Return the node and its text."""
        return {"item": item, "concept": self.identity(item), "name": self.said(item)}

    def sample(self, split: Split, item: int, task: str, rng: random.Random) -> Sample:
        """Return one sample; a node that lacks what the task needs gets the first task that it can have."""
        seed = rng.getrandbits(31)
        found = self.node_tasks.sample(split, item, task, rng) if self.node_tasks and task in TASKS else None
        if found is not None:
            return found
        used = [task, *(each for each in self.tasks if self.tasks[each] > 0)]
        able = [each for each in used if each in self._can and bool(self._can[each][item])]
        if able:
            return self._make(item, able[0], seed)
        while found is None:  # a node without anything, where only links are asked: another one's
            assert self.node_tasks is not None
            assert self.links is not None
            found = self.node_tasks.sample(split, rng.choice(self.links.pairs(split))[0], "link", rng)
        return found

    def contents(self, modality: str) -> Iterable[Any]:
        """Yield the training pictures, texts with questions and answers, or, with `graph`, nodes."""
        train = self._items["train"]
        if modality == "image":
            return (self.picture(node) for node in train if bool(self._whole.present["image"][node]))
        if modality == "graph":
            return (GraphNode(self.graph, node) for node in train) if self.graph_segments else ()
        return self._texts() if modality == "text" else ()

    def evaluation(self, split: Split, task: str, limit: int | None = None) -> list[Sample]:
        """Return the fixed samples of a task."""
        found: list[Sample] = []
        if task in TASKS and self.node_tasks is not None:
            for sample in self.node_tasks.evaluation(split, task):
                if limit is not None and len(found) >= limit:
                    break
                found.append(sample)
        elif task in self._can and task not in TASKS:
            chosen = [node for node in self._items[split] if bool(self._can[task][node])]
            found = [self._make(node, task) for node in chosen[:limit]]
        return found

    def _make(self, item: int, task: str, seed: int = 0) -> Sample:
        text, own = self.said(item), bool(self._whole.present["image"][item])
        if task == "draw":
            segments = (Segment("text", text), Segment("image", self.picture(item), target=True))
            return self._seen(item, task, segments, seed, ("image",), caption=text)
        if task == "name":
            segments = (Segment("image", self.picture(item)), Segment("text", text, target=True))
            return self._seen(item, task, segments, seed, ("text",), answer=text)
        if task == "describe":
            segments = (Segment("text", DESCRIBE), Segment("text", text, target=True))
            return self._seen(item, task, segments, seed, ("text", "image"), answer=text)
        right = self._classes[item]
        shown = (Segment("image", self.picture(item)),) if own else ()
        segments = (*shown, Segment("text", f"{text} . {QUESTION}"), Segment("text", right, target=True))
        about = {"kind": "class", "question": QUESTION, "answer": right, "choices": self.class_names}
        return self._seen(item, task, segments, seed, (), **about)

    def _seen(
        self, item: int, task: str, segments: Sequence[Segment], seed: int, hidden: tuple[str, ...], **more: Any
    ) -> Sample:
        first = (Segment("graph", GraphNode(self.graph, item, seed, hidden)),) if self.graph_segments else ()
        return Sample((*first, *segments), task, item, {**self.about(item), **more})

    @functools.cached_property
    def _asks(self) -> bool:
        return self.tasks.get("ask", 0) > 0

    def _texts(self) -> Iterable[str]:
        for item in self._items["train"]:
            yield f"{self.said(item)} . {QUESTION}" if self._asks else self.said(item)
        yield from self.class_names if self._asks else ()
        yield from (NOTHING, DESCRIBE)
        if self.node_tasks is not None:
            yield from self.node_tasks.texts()
