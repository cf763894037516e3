"""A generated multimodal graph with known truth: factors that spread along the edges of trees.

Each factor (colour, shape) has a forest of its own. A root's value is drawn evenly, and every edge hands the value on
through the matrix of its relation. On a tree the exact posterior of every node can be computed; the forests of
several factors, over the same nodes in other orders, and uninformative edges make a graph with cycles of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from mmgraph.adjacency import hashed
from mmgraph.errors import UsageError
from mmgraph_datasets.shapes_world import COLOURS, Scene, Thing, render

FACTORS = ("colour", "shape")
GREY = (150, 150, 150)
NOISE = "noise"
"""Name of the relation whose edges join nodes at random."""


@dataclass(frozen=True)
class Relation:
    """How a value is handed on along the edges of a relation.

    Args:
        factor: `colour` or `shape`.
        homophily: Probability h that both ends of an edge have the same value.
        unlike: What the other end has otherwise: `paired`, always the one value that is paired with it (structured
            heterophily, as informative as likeness), or `any` other value.
        share: Weight with which an edge of the factor's forest is of this relation.
    """

    factor: Literal["colour", "shape"]
    homophily: float = 0.9
    unlike: Literal["paired", "any"] = "any"
    share: float = 1.0


RELATIONS = {
    "same_colour": Relation("colour", 0.9),
    "opposite_colour": Relation("colour", 0.1, "paired"),
    "same_shape": Relation("shape", 0.8),
}
"""The default relations."""


@dataclass(frozen=True)
class Forest:
    """The trees of one factor; place i of a tree has the parent at place (i - 1) // branching.

    Args:
        members: `(trees, tree_size)`, the node at each place, -1 where the last tree has no more.
        relation: `(trees, tree_size)`, relation of the edge to the parent; -1 at the root.
        branching: Children of a place.
    """

    members: np.ndarray
    relation: np.ndarray
    branching: int


@dataclass(frozen=True)
class World:
    """The truth, and what contents tell of it.

    Args:
        sizes: Number of values of each factor.
        values: `(N,)`, the true value of each factor.
        told: By (modality, factor) `(N,)`, the value that the content tells, -1 for nothing.
        noise: By modality, the probability that what is told is wrong.
        present: By modality `(N,)` bool.
        forests: By factor.
        relations: Names, in the order of the edge types; `noise` is the last.
        matrices: By relation, `(K, K)`: probability of the one end's value given the other's; symmetric.
        edges: `(2, E)`, each undirected edge once.
        types: `(E,)`.
        isolated: `(N,)` bool.
    """

    sizes: Mapping[str, int]
    values: Mapping[str, np.ndarray]
    told: Mapping[tuple[str, str], np.ndarray]
    noise: Mapping[str, float]
    present: Mapping[str, np.ndarray]
    forests: Mapping[str, Forest]
    relations: tuple[str, ...]
    matrices: Mapping[str, np.ndarray]
    edges: np.ndarray
    types: np.ndarray
    isolated: np.ndarray

    @property
    def num_nodes(self) -> int:
        """Number of nodes."""
        return len(self.isolated)


def matrix(relation: Relation, size: int, rewired: float) -> np.ndarray:
    r"""Return \( (1-\epsilon)\,(h I + (1-h) P) + \epsilon / K \); P pairs the values, or is even over the others.

    Raises:
        UsageError: If values are to be paired and their number is odd.
    """
    if relation.unlike == "paired":
        if size % 2:
            raise UsageError(
                f"{size} values of '{relation.factor}' cannot be paired; take an even number, or unlike: any."
            )
        other = np.eye(size)[(np.arange(size) + size // 2) % size]
    else:
        other = (1 - np.eye(size)) / (size - 1)
    return (1 - rewired) * (relation.homophily * np.eye(size) + (1 - relation.homophily) * other) + rewired / size


def make(
    *,
    seed: int,
    num_nodes: int,
    sizes: Mapping[str, int],
    relations: Mapping[str, Relation],
    rewired: float,
    distractors: float,
    isolated: float,
    tree_size: int,
    branching: int,
    tells: Mapping[tuple[str, str], float],
    noise: Mapping[str, float],
    missing: Mapping[str, float],
) -> World:
    """Return the world of a seed; the same on every machine.

    Args:
        seed: Another number, another world.
        num_nodes: Number of nodes N.
        sizes: Number of values of each factor.
        relations: By name.
        rewired: Probability that an edge hands on an even draw instead.
        distractors: Edges of relation `noise` per node.
        isolated: Share of nodes without edges.
        tree_size: Nodes of a tree.
        branching: Children of an inner node.
        tells: By (modality, factor), the probability that a content tells the factor.
        noise: By modality.
        missing: By modality, the share of nodes without it.
    """
    draw = _Draws(seed)
    nodes = np.arange(num_nodes)
    alone = draw("isolated", nodes) < isolated
    names = (*relations, NOISE)
    matrices = {name: matrix(relation, sizes[relation.factor], rewired) for name, relation in relations.items()}
    forests: dict[str, Forest] = {}
    values: dict[str, np.ndarray] = {}
    edges, types = [np.zeros((2, 0), np.int64)], [np.zeros(0, np.int64)]
    for factor in FACTORS:
        own = {name: relation for name, relation in relations.items() if relation.factor == factor}
        forest = _forest(draw, factor, nodes[~alone], own, names, tree_size, branching)
        forests[factor] = forest
        values[factor] = _spread(draw, factor, forest, num_nodes, sizes[factor], names, matrices)
        tree, place = np.nonzero(forest.relation >= 0)
        edges.append(np.stack((forest.members[tree, (place - 1) // branching], forest.members[tree, place])))
        types.append(forest.relation[tree, place])
    joined = nodes[~alone]
    count = round(distractors * len(joined)) if len(joined) > 1 else 0
    first = (draw("noise, first", np.arange(count)) * len(joined)).astype(np.int64)
    second = (first + 1 + (draw("noise, second", np.arange(count)) * (len(joined) - 1)).astype(np.int64)) % len(joined)
    edges.append(np.stack((joined[first], joined[second])) if count else np.zeros((2, 0), np.int64))
    types.append(np.full(count, len(names) - 1))
    present = {modality: draw(f"has {modality}", nodes) >= share for modality, share in missing.items()}
    told = {}
    for (modality, factor), share in tells.items():
        size = sizes[factor]
        wrong = draw(f"{modality} wrong {factor}", nodes) < noise[modality]
        other = 1 + (draw(f"{modality} other {factor}", nodes) * (size - 1)).astype(np.int64)
        seen = np.where(wrong, (values[factor] + other) % size, values[factor])
        says = present[modality] & (draw(f"{modality} tells {factor}", nodes) < share)
        told[modality, factor] = np.where(says, seen, -1)
    return World(
        sizes=dict(sizes),
        values=values,
        told=told,
        noise=dict(noise),
        present=present,
        forests=forests,
        relations=names,
        matrices=matrices,
        edges=np.concatenate(edges, 1),
        types=np.concatenate(types),
        isolated=alone,
    )


class _Draws:
    """Even draws in [0, 1) that depend on the seed, on what they are for, and on the number of the thing."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __call__(self, purpose: str, numbers: np.ndarray) -> np.ndarray:
        name = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:7], "big")
        return (hashed(self.seed, name, numbers) >> np.uint64(11)).astype(np.float64) / 2**53


def _forest(
    draw: _Draws,
    factor: str,
    nodes: np.ndarray,
    relations: Mapping[str, Relation],
    names: tuple[str, ...],
    tree_size: int,
    branching: int,
) -> Forest:
    if not relations:  # nobody hands the factor on: every node is a tree of its own
        return Forest(nodes[:, None], np.full((len(nodes), 1), -1), branching)
    order = nodes[np.argsort(draw(f"order {factor}", nodes), kind="stable")]
    trees = -(-len(order) // tree_size)
    places = np.full(trees * tree_size, -1)
    places[: len(order)] = order
    members = places.reshape(trees, tree_size)
    shares = np.array([relation.share for relation in relations.values()], float)
    bounds = np.cumsum(shares / shares.sum())[:-1]
    chosen = np.searchsorted(bounds, draw(f"relation {factor}", np.maximum(members, 0)), side="right")
    relation = np.array([names.index(name) for name in relations])[chosen]
    relation[:, 0] = -1
    relation[members < 0] = -1
    return Forest(members, relation, branching)


def _spread(
    draw: _Draws,
    factor: str,
    forest: Forest,
    num_nodes: int,
    size: int,
    names: tuple[str, ...],
    matrices: Mapping[str, np.ndarray],
) -> np.ndarray:
    """Return the value of each node: even at roots and isolated nodes, handed on along the edges."""
    luck = draw(f"value {factor}", np.arange(num_nodes))
    values = (luck * size).astype(np.int64)
    steps = {names.index(name): np.cumsum(given, 1) for name, given in matrices.items() if len(given) == size}
    for place in range(1, forest.members.shape[1]):
        parents = forest.members[:, (place - 1) // forest.branching]
        here = forest.members[:, place]
        for number, cumulative in steps.items():
            rows = forest.relation[:, place] == number
            bounds = cumulative[values[parents[rows]]]  # (rows, K)
            drawn = (luck[here[rows]][:, None] >= bounds).sum(1)
            values[here[rows]] = np.minimum(drawn, size - 1)
    return values


def check_ranges(**ranges: tuple[float, float, float]) -> None:
    """Refuse numbers that are out of their range, each given as value, lowest and highest.

    Raises:
        UsageError: Naming the number.
    """
    for name, (value, low, high) in ranges.items():
        if not low <= value <= high:
            raise UsageError(f"{name} must be from {low} to {high}, not {value}.")


def draw_node(colour: str, shape: str, image_size: int, *, seed: int, node: int) -> Tensor:
    """Return a picture of a shape, grey without a colour; place, size and tint are drawn by seed and node."""
    x, y, radius, *tint = ((hashed(seed, node, np.arange(6)) % np.uint64(1000)) / 999.0).tolist()
    base = COLOURS[colour] if colour else GREY
    r, g, b = (max(0, min(255, round(v + 24 * (jitter - 0.5)))) for v, jitter in zip(base, tint, strict=True))
    at = (0.5 + 0.2 * (x - 0.5), 0.5 + 0.2 * (y - 0.5))
    thing = Thing(colour, shape, "large", "center", *at, 0.28 + 0.08 * radius, (r, g, b))
    return render(Scene((thing,)), image_size)
