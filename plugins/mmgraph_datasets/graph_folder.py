"""A folder that holds a multimodal graph: a data set of MM-Graph or MAGB, or two tables of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from mmgraph.datasets import Protocol
from mmgraph.errors import RunError, UsageError
from mmgraph.graphs import MultimodalGraph
from mmgraph_datasets.benchmark_files import folder
from mmgraph_datasets.graph_files import READERS, GraphFiles, layout_of
from mmgraph_datasets.node_dataset import NodeDataset
from mmgraph_datasets.node_links import Links
from mmgraph_datasets.picture_store import Fit, PictureStore


class GraphFolderDataset(NodeDataset):
    """The graph of a folder that you have downloaded or written, with the texts and pictures of its nodes.

    Layouts: `mm_graph`, the folder of one data set of MM-Graph (`ele-fashion`, `sports-copurchase`); `magb`, of MAGB
    (`Movies`, `Toys`); `tables`, `nodes.csv` (id, text, image, label, split) and `edges.csv` (source, target,
    relation). Archives of pictures must be unpacked. Edges are stored in both directions. Where a benchmark publishes
    a division of the edges with negatives, `link` scores those.

    Tasks are those that the nodes allow: `draw` (own text to own picture), `name` (own picture to own text), `ask`
    (`which class ?`), `describe` (Graph2Text) and `link`. An item is an int: the number of its node.

    Shapes:
        picture: uint8 `(3, image_size, image_size)`.

    Args:
        batch_size: Samples per step and process.
        tasks: Weight of each task; None: draw, name and ask, where nodes allow them.
        root: The folder of one data set.
        layout: How it is laid out; `auto`: told by its files.
        protocol: `random`: the folder's division of the nodes, or one by one where it has none.
        seed: Decides the stream of training samples.
        steps_per_epoch: Batches of one epoch; None: one pass over the training nodes.
        image_size: Side of the pictures in pixels.
        max_words: Texts are cut after so many words.
        fit: How a picture becomes square: `crop` its middle, or `pad` it with white.
        memory_mb: Memory for decoded pictures.
        link_relation: The relation that `link` asks for; None: the first.
        num_negatives: Pairs that are not joined, beside each that is.
        graph: Whether samples begin with their node and its neighbourhood.

    Raises:
        UsageError: If folder, files or columns are missing, or a task has nothing to show.
        RunError: If a file is damaged, or there are no edges.

    Reference:
        Zhu et al., Mosaic of Modalities: A Comprehensive Benchmark for Multimodal Graph Learning, 2024
            (arXiv 2406.16321).
        Yan et al., When Graph Meets Multimodal: Benchmarking and Meditating on Multimodal Attributed Graphs Learning,
            2024 (arXiv 2410.09132).
    """

    def __init__(
        self,
        batch_size: int = 64,
        tasks: Mapping[str, float] | None = None,
        *,
        root: str,
        layout: Literal["auto", "mm_graph", "magb", "tables"] = "auto",
        protocol: Protocol = "random",
        seed: int = 0,
        steps_per_epoch: int | None = None,
        image_size: int = 32,
        max_words: int = 24,
        fit: Fit = "crop",
        memory_mb: int = 512,
        link_relation: str | None = None,
        num_negatives: int = 20,
        graph: bool = True,
    ) -> None:
        if max_words < 1:
            raise UsageError(f"max_words must be at least 1, not {max_words}.")
        path = folder(root)
        if layout not in ("auto", *READERS):
            raise UsageError(f"layout must be auto, {', '.join(READERS)}, not '{layout}'.")
        self.files = READERS[layout if layout != "auto" else layout_of(path)](path)
        if not any(ends.shape[1] for ends in self.files.edges.values()):
            raise RunError(f"{path} has no edges between its nodes. Is the download whole?")
        self.image_size = image_size
        self._store = PictureStore(Path, size=image_size, fit=fit, memory_mb=memory_mb)
        super().__init__(
            batch_size,
            tasks,
            multimodal_graph=_graph(self.files, self._read, max_words),
            classes=self.files.classes,
            protocol=protocol,
            seed=seed,
            steps_per_epoch=steps_per_epoch,
            link_relation=link_relation,
            num_negatives=num_negatives,
            graph=graph,
            name=path.resolve().name,
        )

    def _links(self, world: str, relation: str, num_negatives: int) -> Links:
        files = self.files
        return Links(
            self.whole_graph,
            relation,
            world=world,
            num_negatives=num_negatives,
            divided=files.divided or None,
            published=files.negatives,
        )

    def _read(self, node: int) -> Tensor:
        """Return the picture of a node, white where its file is damaged: a warning names it."""
        found = self._store.get(str(self.files.pictures[node]))
        return found if found is not None else torch.full((3, self.image_size, self.image_size), 255).byte()


def _graph(files: GraphFiles, read: Callable[[int], Tensor], max_words: int) -> MultimodalGraph:
    from torch_geometric.data import Data

    both = [torch.unique(torch.cat((ends, ends.flip(0)), 1), dim=1) for ends in files.edges.values()]
    data = Data(num_nodes=files.num_nodes)
    data.edge_index = torch.cat(both, 1)
    data.edge_type = torch.cat([torch.full((ends.shape[1],), number) for number, ends in enumerate(both)])
    names = sorted(set(files.classes) - {""})
    numbers = {name: number for number, name in enumerate(names)}
    data.y = torch.tensor([numbers.get(name, -1) for name in files.classes])
    return MultimodalGraph(
        data,
        list(files.edges),
        texts=[" ".join(text.split()[:max_words]) for text in files.texts],
        images=[path is not None and path.is_file() for path in files.pictures],
        splits=files.splits,
        image=read,
    )
