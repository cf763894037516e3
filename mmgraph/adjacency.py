"""Who sends messages to whom: compressed rows of typed edges, in memory or mapped from disk.

Samplers read only the rows of the nodes they visit, so a batch costs the same in a graph of ten thousand nodes
and in one of a million. Labels and contents of nodes are not here: what a sampler does not get, it cannot leak.
"""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path

import numpy as np
from torch import Tensor

from mmgraph.errors import UsageError

_FILES = ("starts", "senders", "types")


def hashed(*parts: np.ndarray | int) -> np.ndarray:
    """Return 64 well-mixed bits of each row of integers: draws that depend on what is drawn for, not on when."""
    state = np.zeros(np.broadcast_shapes(*(np.shape(part) for part in parts)), np.uint64)
    with np.errstate(over="ignore"):
        for part in parts:
            state = state ^ np.asarray(part, np.int64).astype(np.uint64)
            state = state + np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return state


class Adjacency:
    """The in-edges of every node: row v lists who sends to v, and by which relation.

    Args:
        starts: `(N + 1,)`, where each row begins in the other two.
        senders: `(E,)`, the sending node of each edge, rows one after another.
        types: `(E,)`, the relation of each edge.
        num_relations: Number of relations.
    """

    def __init__(self, starts: np.ndarray, senders: np.ndarray, types: np.ndarray, num_relations: int) -> None:
        self.starts, self.senders, self.types = starts, senders, types
        self.num_relations = num_relations
        self._hidden: np.ndarray | None = None

    @property
    def num_nodes(self) -> int:
        """Number of nodes N."""
        return len(self.starts) - 1

    @property
    def num_edges(self) -> int:
        """Number of edges E, those hidden by `without` included."""
        return len(self.senders)

    @classmethod
    def of(cls, edge_index: Tensor, edge_type: Tensor, num_nodes: int, num_relations: int) -> Adjacency:
        """Return the rows of `(2, E)` edges from `edge_index[0]` to `edge_index[1]`, and their `(E,)` types.

        Raises:
            UsageError: If an edge ends outside of the graph or has an unknown type.
        """
        if edge_index.numel() and not 0 <= int(edge_index.min()) <= int(edge_index.max()) < num_nodes:
            raise UsageError(
                f"edges name nodes from {int(edge_index.min())} to {int(edge_index.max())}, the graph has {num_nodes} "
                "(counted from 0)."
            )
        if edge_type.numel() and not 0 <= int(edge_type.min()) <= int(edge_type.max()) < num_relations:
            raise UsageError(
                f"edge types go from {int(edge_type.min())} to {int(edge_type.max())}, the graph names "
                f"{num_relations} relations (counted from 0)."
            )
        senders, receivers = edge_index.cpu().numpy()
        types = edge_type.cpu().numpy()
        order = np.lexsort((senders, types, receivers))
        starts = np.zeros(num_nodes + 1, np.int64)
        np.cumsum(np.bincount(receivers, minlength=num_nodes), out=starts[1:])
        return cls(starts, senders[order].astype(np.int64), types[order].astype(np.int32), num_relations)

    def save(self, folder: Path | str) -> None:
        """Write the arrays into a folder, from which `open` maps them."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name in _FILES:
            np.save(folder / f"{name}.npy", getattr(self, name))
        (folder / "graph.json").write_text(json.dumps({"num_relations": self.num_relations}), encoding="utf-8")

    @classmethod
    def open(cls, folder: Path | str) -> Adjacency:
        """Map the arrays of a folder: nothing is read before its rows are asked for.

        Raises:
            UsageError: If the folder does not hold what `save` writes.
        """
        try:
            about = json.loads((Path(folder) / "graph.json").read_text(encoding="utf-8"))
            starts, senders, types = (np.load(Path(folder) / f"{name}.npy", mmap_mode="r") for name in _FILES)
            return cls(starts, senders, types, int(about["num_relations"]))
        except (OSError, ValueError, KeyError) as error:
            raise UsageError(f"{folder} holds no saved adjacency ({error}); write one by Adjacency.save.") from None

    def without(self, pairs: Tensor) -> Adjacency:
        """Return a view in which nobody sees the edges between `(2, k)` pairs, in neither direction, of no relation.

        What an edge is predicted from must not hold the edge. The arrays are shared; nothing is copied.
        """
        first, second = pairs.cpu().numpy().astype(np.int64)
        keys = np.concatenate((first * self.num_nodes + second, second * self.num_nodes + first))
        view = Adjacency(self.starts, self.senders, self.types, self.num_relations)
        before = self._hidden if self._hidden is not None else np.zeros(0, np.int64)
        view._hidden = np.unique(np.concatenate((before, keys)))
        return view

    @property
    def whole(self) -> bool:
        """Whether no edge is hidden."""
        return self._hidden is None

    def gather(
        self, nodes: np.ndarray, *, limit: int | None = None, keys: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the in-edges of some nodes: place in `nodes`, sender and relation of each.

        Args:
            nodes: `(n,)`, repeats allowed.
            limit: At most so many edges of one node are read: a node with a million neighbours must not cost
                a million. Which ones is drawn by hash.
            keys: `(n,)` integers, another key another draw; only read with `limit`.
        """
        begin = np.asarray(self.starts[nodes])
        degree = np.asarray(self.starts[nodes + 1]) - begin
        count = degree if limit is None else np.minimum(degree, limit)
        row = np.repeat(np.arange(len(nodes)), count)
        place = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
        if limit is not None and bool((degree > limit).any()):
            crowded = (degree > limit)[row]
            key = 0 if keys is None else keys[row[crowded]]
            drawn = hashed(key, nodes[row[crowded]], place[crowded])
            place[crowded] = (drawn % degree[row[crowded]].astype(np.uint64)).astype(np.int64)
            _, once = np.unique(row * (int(degree.max()) + 1) + place, return_index=True)
            row, place = row[once], place[once]
        place = place + begin[row]
        senders, types = np.asarray(self.senders[place]), np.asarray(self.types[place])
        if not self.whole:
            kept = ~self.hides(senders, nodes[row])
            row, senders, types = row[kept], senders[kept], types[kept]
        return row, senders, types

    def hides(self, senders: np.ndarray, receivers: np.ndarray) -> np.ndarray:
        """Return which of the edges from `senders` to `receivers` nobody is to see."""
        if self._hidden is None or not len(self._hidden):
            return np.zeros(len(senders), bool)
        return _among(receivers * self.num_nodes + senders, self._hidden)

    def degrees(self, nodes: np.ndarray) -> np.ndarray:
        """Return the number of in-edges of some nodes, hidden ones included: to count those, they must be gathered."""
        return np.asarray(self.starts[nodes + 1]) - np.asarray(self.starts[nodes])

    @functools.cached_property
    def digest(self) -> str:
        """A name for the edges: equal for equal graphs, whatever the order their edges were given in."""
        found = hashlib.sha256(f"{self.num_nodes} {self.num_relations}".encode())
        for name in _FILES:
            found.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        if self._hidden is not None:
            found.update(self._hidden.tobytes())
        return found.hexdigest()[:16]


def _among(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Whether each value is in the sorted array `known`; costs what `values` cost, not what `known` does."""
    place = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return known[place] == values
