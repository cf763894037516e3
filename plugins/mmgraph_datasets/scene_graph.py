"""Scene graphs of generated scenes: which thing is left of or above which, from a picture or from a caption.

Edges are written one after another, or decided one pair at a time. The first can make them agree with each other and
depends on an order; the second is one shot for all pairs, and no pair hears of another.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from torch import Tensor

from mmgraph.datasets import Dataset, Protocol, Split
from mmgraph.errors import UsageError
from mmgraph.sequence import Sample, Segment
from mmgraph_datasets.division import PROTOCOL_VERSION, SPLITS, split_of
from mmgraph_datasets.shapes_world import Scene, Thing, relations, render, scene

TASKS = ("parse", "parse_pair", "plan", "plan_pair")
RELATIONS = ("left of", "above")
NONE = "nothing"
Edge = tuple[str, str, str]


class SceneGraphDataset(Dataset):
    """Two or three things of a scene as nodes, and `left of` and `above` as edges between them.

    The nodes are given in the prompt. Tasks: `parse` (picture to all edges: `red ring left of blue bar ; ...`), `plan`
    (caption to all edges; it tells each thing's place), and one pair at a time `parse_pair` and `plan_pair` (`red ring
    to blue bar ?`: `left of and above`, or `nothing`). `left of` and `above` hold where two things are two columns or
    two rows apart; their inverses are not written.

    An item is an int: the number of its scene.

    Shapes:
        picture: uint8 `(3, image_size, image_size)`, white background.

    Args:
        batch_size: Samples per step and process.
        tasks: Weight of each task; None: all four.
        protocol: `random`: each scene by itself; `grouped`: scenes of the same things on one side.
        seed: Decides the stream of training samples.
        steps_per_epoch: Batches of one epoch; None: one pass over the training scenes.
        image_size: Side of the pictures in pixels, 16 to 64.
        num_scenes: Number of scenes.
        world_seed: Another number, another world.
        order: In which order training names nodes and writes edges: `fixed`, by name, or `random`, drawn anew each
            time.

    Raises:
        UsageError: If a number or name is out of range, or a split has no scenes.
    """

    protocol_version = PROTOCOL_VERSION
    supported_tasks = TASKS

    def __init__(
        self,
        batch_size: int = 64,
        tasks: Mapping[str, float] | None = None,
        *,
        protocol: Protocol = "random",
        seed: int = 0,
        steps_per_epoch: int | None = None,
        image_size: int = 24,
        num_scenes: int = 4_000,
        world_seed: int = 0,
        order: Literal["fixed", "random"] = "fixed",
    ) -> None:
        super().__init__(batch_size, tasks, protocol=protocol, seed=seed, steps_per_epoch=steps_per_epoch)
        if protocol == "compositional":
            raise UsageError("scene_graph has protocols random and grouped, not compositional.")
        if not 16 <= image_size <= 64 or not 20 <= num_scenes <= 1_000_000:
            raise UsageError(
                "scene_graph needs an image_size from 16 to 64 and num_scenes from 20 to 1000000, not "
                f"{image_size} and {num_scenes}."
            )
        if order not in ("fixed", "random"):
            raise UsageError(f"order of scene_graph must be fixed or random, not '{order}'.")
        self.image_size, self.shuffled = image_size, order == "random"
        drawn = (scene(world_seed, number, max_objects=3) for number in itertools.count())
        usable = (each for each in drawn if 1 < len(set(map(name, each.things))) == len(each.things))
        self.scenes = list(itertools.islice(usable, num_scenes))
        self._items: dict[Split, list[int]] = {split: [] for split in SPLITS}
        for item, each in enumerate(self.scenes):
            key = each.key if protocol == "grouped" else item
            self._items[split_of("scene_graph", world_seed, protocol, key)].append(item)
        if not all(self._items.values()):
            raise UsageError(f"{num_scenes} scenes leave a split empty; raise num_scenes.")
        self.description = f"{num_scenes} generated scenes of 2 or 3 shapes, {image_size} px, with their scene graphs"

    def items(self, split: Split) -> Sequence[int]:
        """Return the scenes of a split."""
        return self._items[split]

    def picture(self, item: int) -> Tensor:
        """Return the picture of a scene, uint8 `(3, image_size, image_size)`."""
        return render(self.scenes[item], self.image_size)

    def identity(self, item: int) -> str:
        """Return the attributes of the things of a scene."""
        return self.scenes[item].key

    def sample(self, split: Split, item: int, task: str, rng: random.Random) -> Sample:
        """Return one sample; the pair, and with `order: random` every order, is drawn from `rng`."""
        things = self._things(item)
        if self.shuffled:
            rng.shuffle(things)
        pair = tuple(rng.sample(things, 2)) if self.shuffled else rng.choice(_pairs(things))
        return self._make(item, task, things, pair, rng if self.shuffled else None)

    def contents(self, modality: str) -> Iterable[Any]:
        """Yield the training pictures, or what is said of training scenes."""
        if modality == "image":
            return (self.picture(item) for item in self._items["train"])
        return self._texts() if modality == "text" else ()

    def evaluation(self, split: Split, task: str, limit: int | None = None) -> list[Sample]:
        """Return the fixed samples of a task; of the tasks of pairs every pair of a scene, one after another."""
        return list(itertools.islice(self._evaluation(split, task), limit))

    def reordered(self, sample: Sample) -> Sample:
        """Return what asks for the same edges with the nodes the other way round: a pair as its inverse."""
        item = sample.meta["item"]
        things = self._things(item)[::-1]
        pair = None
        if "pair" in sample.meta:
            known = {name(thing): thing for thing in things}
            first, second = sample.meta["pair"]
            pair = (known[second], known[first])
        return replace(self._make(item, sample.task, things, pair), key=sample.key)

    def _evaluation(self, split: Split, task: str) -> Iterator[Sample]:
        for item in self._items[split] if task in TASKS else ():
            things = self._things(item)
            for pair in _pairs(things) if task.endswith("_pair") else [None]:
                yield self._make(item, task, things, pair)

    def _things(self, item: int) -> list[Thing]:
        return sorted(self.scenes[item].things, key=name)

    def _make(
        self,
        item: int,
        task: str,
        things: Sequence[Thing],
        pair: tuple[Thing, ...] | None,
        rng: random.Random | None = None,
    ) -> Sample:
        shown = task.startswith("parse")
        nodes = [name(thing) for thing in things]
        said = " , ".join(nodes if shown else [f"{name(thing)} at {thing.place}" for thing in things])
        edges = [edge for a, b in itertools.permutations(things, 2) for edge in _edges(a, b)]
        about: dict[str, Any] = {"item": item, "concept": self.identity(item), "nodes": nodes, "edges": edges}
        if task.endswith("_pair"):
            assert pair is not None
            a, b = pair
            about["pair"] = (name(a), name(b))
            question, right = f"{said} . {name(a)} to {name(b)} ?", " and ".join(relations(a, b)) or NONE
        else:
            if rng is not None:
                rng.shuffle(edges)
            question, right = f"{said} . edges ?", " ; ".join(" ".join(edge) for edge in edges) or NONE
        first = (Segment("image", self.picture(item)),) if shown else ()
        segments = (*first, Segment("text", question), Segment("text", right, target=True))
        return Sample(segments, task, item, {**about, "kind": task, "question": question, "answer": right})

    def _texts(self) -> Iterator[str]:
        for item in self._items["train"]:
            things = self._things(item)
            for task in (task for task, weight in self.tasks.items() if weight > 0):
                for pair in itertools.permutations(things, 2) if task.endswith("_pair") else [None]:
                    yield from (segment.content for segment in self._make(item, task, things, pair).segments[-2:])


def name(thing: Thing) -> str:
    """Return colour and shape, by which a node is called."""
    return f"{thing.colour} {thing.shape}"


def scene_edges(pictured: Scene) -> set[Edge]:
    """Return the true edges of a scene."""
    return {edge for a, b in itertools.permutations(pictured.things, 2) for edge in _edges(a, b)}


def _edges(a: Thing, b: Thing) -> list[Edge]:
    return [(name(a), relation, name(b)) for relation in relations(a, b) if relation in RELATIONS]


def _pairs(things: Sequence[Thing]) -> list[tuple[Thing, ...]]:
    return list(itertools.combinations(things, 2))
