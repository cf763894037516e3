"""Multimodal graphs: typed edges in a PyG object, beside it the nodes' texts and pictures.

A node may carry a text, a picture, both or neither. Contents are read one node at a time and stay out of the PyG
object, whose tensors would otherwise hold every picture in memory.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from mmgraph.adjacency import Adjacency
from mmgraph.errors import UsageError
from mmgraph.pictures import from_image

if TYPE_CHECKING:
    from torch_geometric.data import Data, HeteroData

Texts = Sequence[str | None]
Images = Sequence["Tensor | str | Path | None"]
MASKS = {"train": "train_mask", "val": "val_mask", "test": "test_mask"}


class MultimodalGraph:
    """A graph whose nodes have texts, pictures, both or neither, and whose edges are typed.

    Messages go from `edge_index[0]` to `edge_index[1]`; a relation that holds both ways is stored both ways.

    Shapes:
        edge_index: `(2, E)`; edge_type: `(E,)`; present: `(N,)` bool per modality.

    Args:
        data: PyG `Data` with `num_nodes`, `edge_index` and, with more than one relation, `edge_type`.
        relations: Name of each edge type.
        texts: Text of each node, None or '' for none; None: no node has one.
        images: Picture of each node, a uint8 tensor `(C, height, width)`, a path, or None; None: no node has one.
        splits: Nodes of `train`, `val` and `test`.
        sources: From which attributes of the nodes each relation was made, for example
            `{"same_subgroup": ("subgroup",)}`: a relation made from what is asked would give the answer away.
        image: Reads the picture of a node, where `images` only says which nodes have one; for pictures that
            are drawn when they are needed.

    Raises:
        UsageError: If sizes or names disagree.
    """

    def __init__(
        self,
        data: Data,
        relations: Sequence[str],
        *,
        texts: Texts | None = None,
        images: Images | Sequence[bool] | None = None,
        splits: Mapping[Any, Sequence[int]] | None = None,
        sources: Mapping[str, Sequence[str]] | None = None,
        image: Callable[[int], Tensor] | None = None,
    ) -> None:
        self.data = data
        self.relations = tuple(relations)
        self.num_nodes = int(data.num_nodes or 0)
        for name, contents in (("texts", texts), ("images", images)):
            if contents is not None and len(contents) != self.num_nodes:
                raise UsageError(f"{len(contents)} {name} were given for {self.num_nodes} nodes; one each, or None.")
        if self.edge_type.numel() and int(self.edge_type.max()) >= len(self.relations):
            raise UsageError(
                f"edge types go up to {int(self.edge_type.max())}, but only {len(self.relations)} relations are "
                f"named: {', '.join(self.relations)}."
            )
        unknown = sorted(set(sources or ()) - set(self.relations))
        if unknown:
            raise UsageError(f"sources name relations that the graph has not: {', '.join(unknown)}.")
        self.splits = {name: torch.as_tensor(nodes, dtype=torch.long) for name, nodes in (splits or {}).items()}
        self.sources = {name: tuple(made_from) for name, made_from in (sources or {}).items()}
        self._texts, self._images, self._image = texts, images, image

    @property
    def edge_index(self) -> Tensor:
        """Edges `(2, E)`, senders first."""
        return cast(Tensor, self.data.edge_index)

    @property
    def edge_type(self) -> Tensor:
        """Relation of each edge `(E,)`; all 0 where the data has no types."""
        types = getattr(self.data, "edge_type", None)
        return types if types is not None else torch.zeros(self.edge_index.shape[1], dtype=torch.long)

    @functools.cached_property
    def adjacency(self) -> Adjacency:
        """The in-edges of every node, for samplers."""
        return Adjacency.of(self.edge_index, self.edge_type, self.num_nodes, len(self.relations))

    @functools.cached_property
    def present(self) -> dict[str, Tensor]:
        """Which nodes have a text and which a picture, `(N,)` bool each."""
        return {
            "text": _present(self._texts, self.num_nodes),
            "image": _present(self._images, self.num_nodes),
        }

    def text(self, node: int) -> str | None:
        """Return the text of a node, None if it has none."""
        return (self._texts[node] or None) if self._texts is not None else None

    def image(self, node: int) -> Tensor | None:
        """Return the picture of a node, uint8 `(C, height, width)`, None if it has none."""
        held = self._images[node] if self._images is not None else None
        if held is None or held is False:
            return None
        if held is True:
            assert self._image is not None, "pictures that are only told to be there need `image=`"
            return self._image(node)
        return held if isinstance(held, Tensor) else _read(Path(cast("str | Path", held)))

    def edges(self, relation: str) -> Tensor:
        """Return the edges `(2, k)` of one relation."""
        return self.edge_index[:, self.edge_type == self.relations.index(relation)]

    def with_edges(self, data: Data) -> MultimodalGraph:
        """Return a graph of the same nodes, contents and splits with the edges of `data`."""
        return MultimodalGraph(
            data,
            self.relations,
            texts=self._texts,
            images=self._images,
            splits={name: nodes.tolist() for name, nodes in self.splits.items()},
            sources=self.sources,
            image=self._image,
        )

    @classmethod
    def from_pyg(
        cls,
        data: Data | HeteroData,
        *,
        texts: Texts | Mapping[str, Texts] | None = None,
        images: Images | Mapping[str, Images] | None = None,
        relations: Sequence[str] | None = None,
        sources: Mapping[str, Sequence[str]] | None = None,
    ) -> MultimodalGraph:
        """Return any PyG graph with its nodes' texts and picture files as a multimodal graph.

        A `HeteroData` becomes one graph: node types stand one after another in the order of
        `data.node_types`, each edge type becomes the relation `source-name-target`, and `data.node_type` keeps the
        types. `train_mask`, `val_mask` and `test_mask` become splits, `y` and `x` stay in `data`.

        Args:
            data: `Data` or `HeteroData`.
            texts: Text of each node; for `HeteroData` by node type, types without texts left out.
            images: Picture or path of each node, likewise.
            relations: Names of the edge types of a `Data`; None: `edge` or `relation_0`, `relation_1`, ...
            sources: As in the constructor.

        Raises:
            UsageError: If sizes disagree.
        """
        if hasattr(data, "edge_types"):
            data, names, starts = _homogeneous(cast("HeteroData", data))
            texts, images = _concatenated(texts, starts), _concatenated(images, starts)
        else:
            types = getattr(data, "edge_type", None)
            count = int(types.max()) + 1 if types is not None and types.numel() else 1
            names = list(relations or (["edge"] if count == 1 else [f"relation_{i}" for i in range(count)]))
        splits = {}
        for split, mask in MASKS.items():
            chosen = getattr(data, mask, None)
            if chosen is not None and chosen.dim() == 1:
                splits[split] = chosen.nonzero().flatten().tolist()
        return cls(
            cast("Data", data),
            names,
            texts=cast("Texts | None", texts),
            images=cast("Images | None", images),
            splits=splits,
            sources=sources,
        )


@dataclass(frozen=True)
class GraphNode:
    """What a segment of modality `graph` holds: one node, seen with its neighbourhood.

    The neighbourhood is not here: the model's sampler draws it, from the node and the seed alone, so that every
    arm of a comparison and every process draws the same.

    Args:
        graph: The graph.
        node: Its number there.
        seed: Seed of the neighbourhood; the same node may be seen with another one in another epoch.
        hidden: Modalities of this node which nothing may read: what the sample asks for.
        without: Pairs of nodes whose edges nothing may see, where the sample asks whether they are joined.
    """

    graph: MultimodalGraph = field(repr=False, compare=False)
    node: int
    seed: int = 0
    hidden: tuple[str, ...] = ()
    without: tuple[tuple[int, int], ...] = ()


def _present(contents: Sequence[Any] | None, num_nodes: int) -> Tensor:
    if contents is None:
        return torch.zeros(num_nodes, dtype=torch.bool)
    held = (isinstance(content, Tensor) or content not in (None, False, "") for content in contents)
    return torch.tensor(list(held), dtype=torch.bool)


def _read(path: Path) -> Tensor:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            return from_image(opened)
    except (OSError, UnidentifiedImageError) as error:
        raise UsageError(f"the picture {path} of a node cannot be read: {error}.") from None


def _homogeneous(data: HeteroData) -> tuple[Data, list[str], dict[str, tuple[int, int]]]:
    """Return one graph of all node types, the names of its relations, and (first, count) of each node type."""
    from torch_geometric.data import Data as PlainData

    starts: dict[str, tuple[int, int]] = {}
    total = 0
    for kind in data.node_types:
        starts[kind] = (total, int(data[kind].num_nodes))
        total += starts[kind][1]
    edges, types, names = [], [], []
    for number, edge_kind in enumerate(data.edge_types):
        source, name, target = edge_kind
        shift = torch.tensor([[starts[source][0]], [starts[target][0]]])
        edges.append(data[edge_kind].edge_index + shift)
        types.append(torch.full((edges[-1].shape[1],), number))
        names.append(f"{source}-{name}-{target}")
    whole = PlainData(num_nodes=total)
    whole.edge_index = torch.cat(edges, 1) if edges else torch.zeros(2, 0, dtype=torch.long)
    whole.edge_type = torch.cat(types) if types else torch.zeros(0, dtype=torch.long)
    whole.node_type = torch.cat([torch.full((count,), i) for i, (_, count) in enumerate(starts.values())])
    whole.node_types = list(starts)
    for mask in MASKS.values():
        parts = [data[kind].get(mask) for kind in starts]
        if any(part is not None for part in parts):
            counts = [count for _, count in starts.values()]
            empty = [torch.zeros(count, dtype=torch.bool) for count in counts]
            joined = [none if part is None else part for part, none in zip(parts, empty, strict=True)]
            setattr(whole, mask, torch.cat(joined))
    return whole, names, starts


def _concatenated(contents: Any, starts: Mapping[str, tuple[int, int]]) -> Any:
    if not isinstance(contents, Mapping):
        return contents
    unknown = sorted(set(contents) - set(starts))
    if unknown:
        raise UsageError(f"contents are given for unknown node types {', '.join(unknown)}; types: {', '.join(starts)}.")
    joined: list[Any] = []
    for kind, (_, count) in starts.items():
        held = contents.get(kind)
        if held is not None and len(held) != count:
            raise UsageError(f"{len(held)} contents were given for {count} nodes of type '{kind}'; one each, or None.")
        joined += list(held) if held is not None else [None] * count
    return joined
