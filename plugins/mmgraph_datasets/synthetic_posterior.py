"""The exact posterior of every node of a synthetic graph, by passing messages up and down its trees.

What it says is the ceiling: no model that sees the same, and no more, can be right more often on average.
"""

from __future__ import annotations

import numpy as np

from mmgraph_datasets.synthetic_world import World


def evidence(world: World, modality: str, factor: str) -> np.ndarray:
    """Return the likelihood of what a content tells under each value, `(N, K)`; 1 where it tells nothing."""
    told, size, wrong = world.told[modality, factor], world.sizes[factor], world.noise[modality]
    found = np.full((len(told), size), wrong / (size - 1))
    found[np.arange(len(told)), np.maximum(told, 0)] = 1 - wrong
    found[told < 0] = 1.0
    return found


def posterior(
    world: World,
    factor: str,
    *,
    graph: bool = True,
    hidden_images: np.ndarray | None = None,
    readable: np.ndarray | None = None,
    labelled: np.ndarray | None = None,
) -> np.ndarray:
    """Return the posterior of a factor for every node, given its own text and, by the graph, all other nodes.

    A node's own picture is never used: it is what would be drawn, or shows what is asked.

    Args:
        world: The world.
        factor: `colour` or `shape`.
        graph: Whether other nodes are seen; else own texts alone.
        hidden_images: `(N,)` bool, nodes whose pictures nobody sees; None: every node sees all others'.
        readable: `(N,)` bool, nodes whose contents may be read as somebody's neighbour; None: all.
        labelled: `(N,)` bool, nodes whose true value all others know, as training labels are known; None: none.

    Returns:
        `(N, K)`.
    """
    own = evidence(world, "text", factor)
    found = own.copy()
    if graph:
        shown = evidence(world, "image", factor)
        if hidden_images is not None:
            shown[hidden_images] = 1.0
        seen = own * shown
        if readable is not None:
            seen[~readable] = 1.0
        if labelled is not None:
            seen[labelled] = np.eye(world.sizes[factor])[world.values[factor][labelled]]
        found *= _from_others(world, factor, seen)
    return found / found.sum(1, keepdims=True)


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """Return the entropy of each row in bits."""
    logs = np.log2(np.where(probabilities > 0, probabilities, 1.0))
    return -(probabilities * logs).sum(1)


def _from_others(world: World, factor: str, seen: np.ndarray) -> np.ndarray:
    """Return the product of all messages into each node, `(N, K)`: what the others say of its value."""
    forest, size = world.forests[factor], world.sizes[factor]
    trees, places = forest.members.shape
    local = np.where((forest.members >= 0)[:, :, None], seen[forest.members], 1.0)  # (trees, places, K)
    steps = np.stack([np.eye(size)] + [
        world.matrices[name] if name in world.matrices and len(world.matrices[name]) == size else np.eye(size)
        for name in world.relations
    ])[forest.relation + 1]  # (trees, places, K, K)  # fmt: skip

    def step(place: int, message: np.ndarray) -> np.ndarray:
        message = np.einsum("tij,tj->ti", steps[:, place], message)
        return message / message.sum(1, keepdims=True)

    up = np.ones((trees, places, size))  # from each place to its parent
    below = np.ones((trees, places, size))  # the product of what a place's children say
    for place in range(places - 1, 0, -1):
        message = step(place, local[:, place] * below[:, place])
        there = (forest.members[:, place] >= 0)[:, None]
        up[:, place] = np.where(there, message, 1.0)
        below[:, (place - 1) // forest.branching] *= up[:, place]
    above = np.full((trees, places, size), 1.0 / size)  # what each place's parent says
    for place in range(1, places):
        parent = (place - 1) // forest.branching
        first = parent * forest.branching + 1
        siblings = [other for other in range(first, min(first + forest.branching, places)) if other != place]
        # multiplied anew for each child: dividing the product by its own message fails where that is zero
        beside = np.prod(up[:, siblings], axis=1) if siblings else 1.0
        above[:, place] = step(place, local[:, parent] * above[:, parent] * beside)
    found = np.ones_like(seen)
    there = forest.members >= 0
    found[forest.members[there]] = (above * below)[there]
    return found
