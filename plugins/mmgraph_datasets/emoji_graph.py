"""The emoji as a graph: pictures and names as nodes, and how one emoji is related to another as edges.

The data set `emoji` gives pictures, names and questions; this one joins them by typed edges, and refuses edges that
were made from what is asked.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmgraph.datasets import Protocol, Split
from mmgraph.errors import UsageError, nearest
from mmgraph.graphs import GraphNode, MultimodalGraph
from mmgraph.leaks import check_groups, check_label_edges
from mmgraph.sequence import Sample, Segment
from mmgraph_datasets.division import PROTOCOL_VERSION, SPLITS
from mmgraph_datasets.emoji import EmojiDataset
from mmgraph_datasets.emoji_questions import KINDS
from mmgraph_datasets.graph_dataset import GraphDataset
from mmgraph_datasets.node_tasks import TASKS

SOURCES = {
    "skin_tone_of": ("skin_tone",),
    "gender_sibling": ("gender",),
    "made_of": ("sequence",),
    "shared_keyword": ("shows",),
    "same_subgroup": ("group", "subgroup"),
}
"""From what each relation is made, in the names of the questions that it would answer."""

SAFE = ("skin_tone_of", "gender_sibling", "made_of")
HIDDEN = {"draw": "image", "name": "text", "ask": "text"}
"""What nobody may read of the node of a task: what is produced, and for questions the name, which tells the group."""


class EmojiGraphDataset(GraphDataset):
    """Emoji with typed relations, divided by concept so that variants stay together.

    Relations: `skin_tone_of` (a toned emoji and its base), `gender_sibling` (one concept, another gender), `made_of`
    (a joined sequence and its parts: fire engine and firefighter), `shared_keyword` (a keyword of 2 to 12 emoji) and
    `same_subgroup` (each emoji and the next of its subgroup). All are stored in both directions. A relation that was
    made from what a question asks is refused: `same_subgroup` with the group or subgroup, `shared_keyword` with
    `shows`, `skin_tone_of` with the skin tone. Without `questions`, all those are asked that the relations allow.

    Samples are those of `emoji`, and on request `describe` (Graph2Text: the neighbourhood alone to the name) and `link`
    (are two emoji joined by a relation). With `graph`, a segment of modality `graph` stands first and holds a
    `GraphNode`.

    An item is an int: the number of its node, the place of its picture in `emoji.catalogue`.

    Shapes:
        picture: uint8 `(3, image_size, image_size)`, white background.

    Args:
        batch_size: Samples per step and process.
        tasks: Weight of each task in training; None: draw, name and ask.
        protocol: As in `emoji`; `grouped` keeps all variants of a concept on one side.
        seed: Decides the stream of training samples.
        steps_per_epoch: Batches of one epoch; None: one pass over the training pictures.
        relations: Which relations there are; None: skin_tone_of, gender_sibling and made_of.
        image_size: Side of the pictures in pixels, 8 to 72.
        groups: Groups to keep; None: all but Symbols and Flags.
        subgroups: Subgroups to keep.
        skin_tones: Whether pictures with skin tones are included.
        limit: Keep at most so many pictures, whole concepts at a time.
        questions: Kinds of questions to ask; None: all that the relations allow.
        link_relation: The relation that `link` asks for; None: the first.
        num_negatives: Pairs that are not joined, beside each that is, in the evaluation of `link`.
        graph: Whether samples begin with their node and its neighbourhood, for models that read graphs.
        cache_dir: As in `emoji`.

    Raises:
        UsageError: If a relation is unknown or gives away what is asked, or as in `emoji`.

    Reference:
        Twemoji, https://github.com/jdecked/twemoji.
    """

    protocol_version = PROTOCOL_VERSION
    credits = EmojiDataset.credits

    def __init__(
        self,
        batch_size: int = 64,
        tasks: Mapping[str, float] | None = None,
        *,
        protocol: Protocol = "grouped",
        seed: int = 0,
        steps_per_epoch: int | None = None,
        relations: list[str] | None = None,
        image_size: int = 32,
        groups: list[str] | None = None,
        subgroups: list[str] | None = None,
        skin_tones: bool = True,
        limit: int | None = None,
        questions: list[str] | None = None,
        link_relation: str | None = None,
        num_negatives: int = 20,
        graph: bool = False,
        cache_dir: str | None = None,
    ) -> None:
        self.relation_names = tuple(relations if relations is not None else SAFE)
        for name in self.relation_names:
            if name not in SOURCES:
                raise UsageError(f"unknown relation of emoji '{name}'. {nearest(name, SOURCES)}")
        super().__init__(
            batch_size,
            tasks,
            protocol=protocol,
            seed=seed,
            steps_per_epoch=steps_per_epoch,
            world="emoji_graph",
            link_relation=link_relation if link_relation is not None else next(iter(self.relation_names), ""),
            num_negatives=num_negatives,
            graph=graph,
        )
        allowed = [kind for kind in KINDS if not any(kind in SOURCES[name] for name in self.relation_names)]
        for kind in questions or ():
            check_label_edges(self.relation_names, SOURCES, kind)
        self.emoji = EmojiDataset(
            batch_size,
            protocol=protocol,
            seed=seed,
            image_size=image_size,
            groups=groups,
            subgroups=subgroups,
            skin_tones=skin_tones,
            limit=limit,
            questions=questions or allowed,
            cache_dir=cache_dir,
        )
        if protocol == "grouped":
            splits = {split: torch.tensor(list(self.emoji.items(split))) for split in SPLITS}
            check_groups([e.concept for e in self.emoji.catalogue], splits)
        self.description = f"{self.emoji.description}, joined by {', '.join(self.relation_names) or 'no relation'}"

    # -- the contract -------------------------------------------------------------------------------------

    def items(self, split: Split) -> Sequence[int]:
        """Return the nodes of a split."""
        return self.emoji.items(split)

    def picture(self, item: int) -> Tensor:
        """Return the picture of a node, uint8 `(3, image_size, image_size)`."""
        return self.emoji.picture(item)

    def identity(self, item: int) -> str:
        """Return the concept of a node."""
        return self.emoji.identity(item)

    def sample(self, split: Split, item: int, task: str, rng: random.Random) -> Sample:
        """Return the sample of `emoji`, its node first; the seed of the neighbourhood is drawn from `rng`."""
        found = self.node_tasks.sample(split, item, task, rng) if self.node_tasks is not None else None
        usual = "ask" if task == "link" else "name" if task == "describe" else task
        return found or self._joined(self.emoji.sample(split, item, usual, rng), item, rng.getrandbits(31))

    def contents(self, modality: str) -> Iterable[Any]:
        """Yield training pictures, texts, or, with `graph`, nodes with their neighbourhoods."""
        if modality == "graph":
            return (GraphNode(self.graph, item) for item in self.items("train")) if self.graph_segments else ()
        if modality == "text" and self.node_tasks is not None:
            return itertools.chain(self.emoji.contents(modality), self.node_tasks.texts())
        return self.emoji.contents(modality)

    def evaluation(self, split: Split, task: str, limit: int | None = None) -> list[Sample]:
        """Return the fixed samples of `emoji`, each with its node, or those of the task."""
        if task in TASKS:
            found = self.node_tasks.evaluation(split, task) if self.node_tasks is not None else iter(())
            return list(itertools.islice(found, limit))
        return [self._joined(sample, sample.meta["item"], 0) for sample in self.emoji.evaluation(split, task, limit)]

    def answer_counts(self, kind: str) -> dict[str, int]:
        """Return how often each answer is right over the training pictures, for the majority baseline."""
        return self.emoji.answer_counts(kind)

    # -- the graph ----------------------------------------------------------------------------------------

    def said(self, item: int) -> str:
        """Return the name of a node."""
        return self.emoji.catalogue[item].name

    def about(self, item: int) -> dict[str, Any]:
        """Return the node, its concept and its name."""
        return {"item": item, "concept": self.identity(item), "name": self.said(item)}

    @functools.cached_property
    def whole_graph(self) -> MultimodalGraph:
        """The graph; every node has a name and a picture. Its `y` numbers the subgroups, for controls."""
        from torch_geometric.data import Data

        known = self.emoji.relations()
        catalogue = self.emoji.catalogue
        members: dict[str, list[int]] = {}
        for item, e in enumerate(catalogue):
            if e.subgroup:
                members.setdefault(e.subgroup, []).append(item)
        known["same_subgroup"] = [pair for each in members.values() for pair in itertools.pairwise(each)]
        edges, types = [torch.zeros(2, 0, dtype=torch.long)], [torch.zeros(0, dtype=torch.long)]
        for number, name in enumerate(self.relation_names):
            pairs = torch.tensor(known[name], dtype=torch.long).reshape(-1, 2).t()
            edges.append(torch.cat((pairs, pairs.flip(0)), 1))
            types.append(torch.full((2 * pairs.shape[1],), number))
        data = Data(num_nodes=len(catalogue))
        data.edge_index, data.edge_type = torch.cat(edges, 1), torch.cat(types)
        subgroups = list(members)
        data.y = torch.tensor([subgroups.index(e.subgroup) if e.subgroup else -1 for e in catalogue], dtype=torch.long)
        return MultimodalGraph(
            data,
            self.relation_names,
            texts=[e.name for e in catalogue],
            images=[True] * len(catalogue),
            image=self.picture,
            splits={split: self.items(split) for split in SPLITS},
            sources={name: SOURCES[name] for name in self.relation_names},
        )

    def _joined(self, sample: Sample, item: int, seed: int) -> Sample:
        if not self.graph_segments:
            return sample
        node = GraphNode(self.graph, item, seed, (HIDDEN[sample.task],))
        return dataclasses.replace(sample, segments=(Segment("graph", node), *sample.segments))
