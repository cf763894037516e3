"""A generated multimodal graph whose truth is known: what each node can at best be known to be, with and without edges.

Whether edges help cannot be told from a benchmark number alone. Here the exact posterior of every node says how much
there is to gain, in bits, and an arm that gains more has found a leak.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmgraph.datasets import Protocol, Split
from mmgraph.errors import UsageError, nearest
from mmgraph.graphs import GraphNode, MultimodalGraph
from mmgraph.sequence import Sample, Segment
from mmgraph_datasets import neighbour_questions, synthetic_oracle, synthetic_posterior, synthetic_world
from mmgraph_datasets.division import PROTOCOL_VERSION, SPLITS, split_of
from mmgraph_datasets.graph_dataset import GraphDataset
from mmgraph_datasets.neighbour_questions import NeighbourQuestions
from mmgraph_datasets.shapes_world import COLOURS, SHAPES
from mmgraph_datasets.synthetic_world import FACTORS, NOISE, RELATIONS, Relation, World, check_ranges, draw_node

WORLD = "synthetic_graph"
NOTHING = "a thing"
KINDS = (*FACTORS, *neighbour_questions.KINDS)


class SyntheticGraphDataset(GraphDataset):
    """Nodes with a colour and a shape, told in part by their text and picture, and in part by their neighbours.

    A text says `a red moon`, `a moon` or `a thing`; a picture shows one shape, grey where it does not tell the
    colour. Both may be wrong or missing. Edges of a relation join like values with probability `homophily`, and
    otherwise a paired value (structured heterophily) or any other. The relation `noise` joins nodes at random.

    Tasks: `ask` (`which colour ?`, `which shape ?`, from the own text, the own picture hidden), `draw` (own text to
    own picture) and `name` (own picture to own text); on request `describe` (Graph2Text: the neighbourhood alone to own
    text) and `link` (are two nodes joined by a relation). Nodes that lack what a task needs are asked instead. With
    `graph`, a segment of modality `graph` stands first and holds a `GraphNode`.

    An item is an int: the number of its node.

    Shapes:
        picture: uint8 `(3, image_size, image_size)`, white background.

    Args:
        batch_size: Samples per step and process.
        tasks: Weight of each task in training.
        protocol: `random`: each node by itself; `grouped`: whole trees of the colour relations on one side, so that
            no such edge joins two splits.
        seed: Decides the stream of training samples.
        steps_per_epoch: Batches of one epoch; None: one pass over the training nodes.
        image_size: Side of the pictures in pixels, 16 to 64.
        num_nodes: Number of nodes.
        num_colours: The first so many of the colours of `shapes`.
        num_shapes: The first so many of the shapes of `shapes`.
        relations: By name, how values are handed on; None: `same_colour` (homophily 0.9), `opposite_colour` (0.1,
            paired) and `same_shape` (0.8).
        rewired: Probability that an edge hands on an even draw instead.
        distractors: Edges of relation `noise` per node.
        isolated: Share of nodes without edges: here a graph must not help.
        tree_size: Nodes of one tree of a factor.
        branching: Edges that lead on from an inner node of a tree.
        text_colour: Probability that a text tells the colour.
        text_shape: Probability that a text tells the shape.
        image_colour: Probability that a picture tells the colour; it always shows a shape.
        text_noise: Probability that what a text tells is wrong.
        image_noise: Probability that what a picture shows is wrong.
        missing_text: Share of nodes without text.
        missing_image: Share of nodes without picture.
        world_seed: Another number, another world.
        questions: What is asked: `colour`, `shape`, `neighbours` (how many there are), `neighbour_colour` (how many
            show a colour); None: colour and shape.
        link_relation: The relation that `link` asks for; None: the first.
        num_negatives: Pairs that are not joined, beside each that is, in the evaluation of `link`.
        graph: Whether samples begin with their node and its neighbourhood, for models that read graphs.

    Raises:
        UsageError: If a number is out of its range, or a split has no nodes.
    """

    protocol_version = PROTOCOL_VERSION

    def __init__(
        self,
        batch_size: int = 64,
        tasks: Mapping[str, float] | None = None,
        *,
        protocol: Protocol = "random",
        seed: int = 0,
        steps_per_epoch: int | None = None,
        image_size: int = 16,
        num_nodes: int = 2_000,
        num_colours: int = 8,
        num_shapes: int = 6,
        relations: dict[str, Relation] | None = None,
        rewired: float = 0.05,
        distractors: float = 1.0,
        isolated: float = 0.1,
        tree_size: int = 31,
        branching: int = 3,
        text_colour: float = 0.0,
        text_shape: float = 0.7,
        image_colour: float = 0.9,
        text_noise: float = 0.05,
        image_noise: float = 0.05,
        missing_text: float = 0.1,
        missing_image: float = 0.1,
        world_seed: int = 0,
        questions: list[str] | None = None,
        link_relation: str | None = None,
        num_negatives: int = 20,
        graph: bool = False,
    ) -> None:
        given = relations if relations is not None else RELATIONS
        super().__init__(
            batch_size,
            tasks,
            protocol=protocol,
            seed=seed,
            steps_per_epoch=steps_per_epoch,
            world=f"{WORLD} {world_seed}",
            link_relation=link_relation if link_relation is not None else next(iter(given), NOISE),
            num_negatives=num_negatives,
            graph=graph,
        )
        check_ranges(
            num_nodes=(num_nodes, 20, 10_000_000),
            image_size=(image_size, 16, 64),
            num_colours=(num_colours, 2, len(COLOURS)),
            num_shapes=(num_shapes, 2, len(SHAPES)),
            distractors=(distractors, 0, 100),
            tree_size=(tree_size, 1, 10_000),
            branching=(branching, 1, 100),
        )
        check_ranges(**{
            name: (value, 0, 1)
            for name, value in {
                "rewired": rewired,
                "isolated": isolated,
                "text_colour": text_colour,
                "text_shape": text_shape,
                "image_colour": image_colour,
                "text_noise": text_noise,
                "image_noise": image_noise,
                "missing_text": missing_text,
                "missing_image": missing_image,
                **{f"homophily of '{name}'": relation.homophily for name, relation in given.items()},
            }.items()
        })  # fmt: skip
        if protocol == "compositional":
            raise UsageError("synthetic_graph has no compositional protocol: its posterior would not be exact.")
        if NOISE in given or any(relation.share <= 0 for relation in given.values()):
            raise UsageError(f"relations need a positive share, and '{NOISE}' is the name of the edges at random.")
        for kind in questions or ():
            if kind not in KINDS:
                raise UsageError(f"unknown kind of question '{kind}'. {nearest(kind, KINDS)}")
        self.image_size = image_size
        self.world_seed = world_seed
        self.questions = [kind for kind in KINDS if kind in (questions or FACTORS)]
        self.names = {"colour": tuple(COLOURS)[:num_colours], "shape": SHAPES[:num_shapes]}
        tells = {
            ("text", "colour"): text_colour,
            ("text", "shape"): text_shape,
            ("image", "colour"): image_colour,
            ("image", "shape"): 1.0,
        }
        self.world: World = synthetic_world.make(
            seed=world_seed,
            num_nodes=num_nodes,
            sizes={factor: len(names) for factor, names in self.names.items()},
            relations=given,
            rewired=rewired,
            distractors=distractors,
            isolated=isolated,
            tree_size=tree_size,
            branching=branching,
            tells=tells,
            noise={"text": text_noise, "image": image_noise},
            missing={"text": missing_text, "image": missing_image},
        )
        edges = self.world.edges.shape[1]
        self.description = f"a generated graph of {num_nodes} nodes and {edges} edges of {len(given) + 1} relations"
        trees = np.arange(num_nodes) + num_nodes  # isolated nodes stand alone
        members = self.world.forests["colour"].members
        trees[members[members >= 0]] = np.nonzero(members >= 0)[0]
        self._items: dict[Split, list[int]] = {split: [] for split in SPLITS}
        for node in range(num_nodes):
            key = ("grouped", world_seed, int(trees[node])) if protocol == "grouped" else ("random", world_seed, node)
            self._items[split_of(WORLD, *key)].append(node)
        if not all(self._items.values()):
            sizes = ", ".join(f"{split} {len(items)}" for split, items in self._items.items())
            raise UsageError(f"{num_nodes} nodes leave a split empty ({sizes}); raise num_nodes or lower tree_size.")
        self._pictures: dict[int, Tensor] = {}

    # -- the contract -------------------------------------------------------------------------------------

    def items(self, split: Split) -> Sequence[int]:
        """Return the nodes of a split."""
        return self._items[split]

    def picture(self, item: int) -> Tensor:
        """Return what the picture of a node shows or would show, uint8 `(3, image_size, image_size)`."""
        if item not in self._pictures:
            self._pictures[item] = self._render(item)
        return self._pictures[item]

    def text(self, item: int) -> str:
        """Return the text of a node, '' if it has none."""
        if not self.world.present["text"][item]:
            return ""
        said = [self._told("text", factor, item) for factor in FACTORS]
        return f"a {' '.join(word for word in said if word)}" if any(said) else NOTHING

    def identity(self, item: int) -> str:
        """Return the true colour and shape of a node."""
        return " ".join(self.names[factor][self.world.values[factor][item]] for factor in FACTORS)

    def check(self, item: int, picture: Tensor) -> dict[str, bool]:
        """Return whether a picture shows a node's true colour and shape, and both; its own picture need not."""
        return synthetic_oracle.check(picture, *self.identity(item).split())

    def sample(self, split: Split, item: int, task: str, rng: random.Random) -> Sample:
        """Return one sample; the question and the seed of the neighbourhood are drawn from `rng`."""
        kind, seed = rng.choice(self.questions), rng.getrandbits(31)
        if task == "draw" and self.world.present["image"][item]:
            return self._draw(item, seed)
        if task == "name" and self._nameable(item):
            return self._name(item, seed)
        found = self.node_tasks.sample(split, item, task, rng) if self.node_tasks is not None else None
        return found or self._ask(item, kind, seed, training=split == "train")

    def contents(self, modality: str) -> Iterable[Any]:
        """Yield the training pictures, texts with questions and answers, or, with `graph`, nodes."""
        train = self._items["train"]
        if modality == "image":
            return (self.picture(i) for i in train if self.world.present["image"][i])
        if modality == "graph":
            return (GraphNode(self.graph, i) for i in train) if self.graph_segments else ()
        return self._texts() if modality == "text" else ()

    def evaluation(self, split: Split, task: str, limit: int | None = None) -> list[Sample]:
        """Return the fixed samples of a task; for `ask` every question of every node."""
        found: list[Sample] = []
        for item in self._items[split]:
            if limit is not None and len(found) >= limit:
                break
            if task == "draw" and self.world.present["image"][item]:
                found.append(self._draw(item))
            elif task == "name" and self._nameable(item):
                found.append(self._name(item))
            elif task == "ask":
                found += [self._ask(item, kind) for kind in self.questions]
        if self.node_tasks is not None:
            found += itertools.islice(self.node_tasks.evaluation(split, task), limit)
        return found if limit is None else found[:limit]

    # -- the graph and its truth --------------------------------------------------------------------------

    @functools.cached_property
    def neighbour_questions(self) -> NeighbourQuestions:
        """The questions about neighbours."""
        told = {name: self.world.told[name, "colour"] for name in ("image", "text")}
        told = {name: np.where(self.world.present[name], values, -1) for name, values in told.items()}
        shown = np.where(told["image"] >= 0, told["image"], told["text"])
        return NeighbourQuestions(self.graph, torch.from_numpy(shown), self.names["colour"])

    @functools.cached_property
    def whole_graph(self) -> MultimodalGraph:
        """The graph; every edge is stored in both directions. Its `y` numbers colour and shape, for controls."""
        from torch_geometric.data import Data

        edges = torch.from_numpy(self.world.edges)
        data = Data(num_nodes=self.world.num_nodes)
        data.edge_index = torch.cat((edges, edges.flip(0)), 1)
        data.edge_type = torch.from_numpy(self.world.types).repeat(2)
        data.y = self.truth("colour") * len(self.names["shape"]) + self.truth("shape")
        return MultimodalGraph(
            data,
            self.world.relations,
            texts=[self.text(i) for i in range(self.world.num_nodes)],
            images=self.world.present["image"].tolist(),
            image=self.picture,
            splits=self._items,
        )

    def truth(self, factor: str) -> Tensor:
        """Return the true value of every node `(N,)`, as numbers of `names[factor]`."""
        return torch.from_numpy(self.world.values[factor])

    def posterior(
        self,
        factor: str,
        *,
        graph: bool = True,
        hidden_images: Tensor | None = None,
        readable: Tensor | None = None,
        labelled: Tensor | None = None,
    ) -> Tensor:
        """Return the exact posterior of a factor for every node `(N, K)`, its own picture hidden.

        The mean of its largest entries is the accuracy that no model can beat on average which sees as much. A model
        that was trained in the same world may know more: the labels of training nodes, or how frequent each value is.

        Args:
            factor: `colour` or `shape`.
            graph: Whether other nodes are seen; else own texts alone.
            hidden_images: `(N,)` bool, nodes whose pictures nobody sees; None: every node sees all others'.
            readable: `(N,)` bool, nodes whose contents may be read as somebody's neighbour; None: all.
            labelled: `(N,)` bool, nodes whose true value all others know; None: none.
        """
        found = synthetic_posterior.posterior(
            self.world,
            factor,
            graph=graph,
            hidden_images=None if hidden_images is None else hidden_images.numpy(),
            readable=None if readable is None else readable.numpy(),
            labelled=None if labelled is None else labelled.numpy(),
        )
        return torch.from_numpy(found)

    def attainable_bits(self, factor: str) -> Tensor:
        """Return how many bits of each node's factor the graph tells beyond its own text `(N,)`; it may be negative.

        The mean over nodes is an estimate of the information that the neighbours hold about the node.
        """
        before, after = (synthetic_posterior.entropy(self.posterior(factor, graph=g).numpy()) for g in (False, True))
        return torch.from_numpy(before - after)

    # -- parts of samples -----------------------------------------------------------------------------------

    def _told(self, modality: str, factor: str, item: int) -> str:
        value = int(self.world.told[modality, factor][item])
        return self.names[factor][value] if value >= 0 else ""

    def _nameable(self, item: int) -> bool:
        return bool(self.world.present["image"][item] and self.world.present["text"][item])

    def _render(self, item: int) -> Tensor:
        colour = self._told("image", "colour", item)
        shape = self._told("image", "shape", item) or self.names["shape"][self.world.values["shape"][item]]
        return draw_node(colour, shape, self.image_size, seed=self.world_seed, node=item)

    def _first(self, item: int, hidden: str | None, seed: int) -> tuple[Segment, ...]:
        if not self.graph_segments:
            return ()
        return (Segment("graph", GraphNode(self.graph, item, seed, (hidden,) if hidden else ())),)

    def said(self, item: int) -> str:
        """Return the text of a node, `a thing` where it has none."""
        return self.text(item) or NOTHING

    def about(self, item: int) -> dict[str, Any]:
        """Return the number and the name of a node."""
        return {"item": item, "concept": self.identity(item), "name": self.identity(item)}

    def _draw(self, item: int, seed: int = 0) -> Sample:
        text = self.said(item)
        drawn = Segment("image", self.picture(item), target=True)
        segments = (*self._first(item, "image", seed), Segment("text", text), drawn)
        return Sample(segments, "draw", item, {**self.about(item), "caption": text})

    def _name(self, item: int, seed: int = 0) -> Sample:
        text = self.text(item)
        written = Segment("text", text, target=True)
        segments = (*self._first(item, "text", seed), Segment("image", self.picture(item)), written)
        return Sample(segments, "name", item, {**self.about(item), "answer": text})

    def _ask(self, item: int, kind: str, seed: int = 0, *, training: bool = False) -> Sample:
        choices, hidden = neighbour_questions.COUNTS, None
        if kind in FACTORS:
            choices, hidden = self.names[kind], "image"
            question, right = f"which {kind} ?", choices[self.world.values[kind][item]]
        else:
            question, right = self.neighbour_questions.ask(item, kind, seed, training=training)
        segments = (
            *self._first(item, hidden, seed),
            Segment("text", f"{self.said(item)} . {question}"),
            Segment("text", right, target=True),
        )
        about = {"kind": kind, "question": question, "answer": right, "choices": choices}
        return Sample(segments, "ask", item, {**self.about(item), **about})

    def _texts(self) -> Iterator[str]:
        for item in self._items["train"]:
            text = self.said(item)
            yield text
            for kind in [kind for kind in self.questions if kind in FACTORS]:
                yield f"{text} . which {kind} ?"
                yield self.names[kind][self.world.values[kind][item]]
        if set(self.questions) - set(FACTORS):
            yield from self.neighbour_questions.texts(self.questions)
        if self.node_tasks is not None:
            yield from self.node_tasks.texts()
