"""Reads multimodal graphs from folders: of the MM-Graph benchmark, of MAGB, or two plain tables of one's own.

What is read is edges, texts, paths of pictures, classes and divisions. Features that a benchmark ships are not: here
they come from the model's own tokenizers.
"""

from __future__ import annotations

import ast
import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmgraph.errors import RunError, UsageError

LAYOUTS = ("mm_graph", "magb", "tables")
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")
IDS = ("id", "node_id", "asin")
TEXTS = ("text", "raw_text")
PARTS = ("title", "description")
CLASSES = ("label", "category", "class")
NEIGHBOURS = ("neighbors", "neighbours", "neighbor", "neighbour")


@dataclass
class GraphFiles:
    """What a folder holds of a graph.

    Args:
        num_nodes: Number of nodes.
        edges: `(2, E)` by relation, each edge once or in both directions.
        texts: Text of each node, '' for none.
        pictures: Path of each node's picture, None for none.
        classes: Class of each node, '' for unknown.
        splits: Nodes of train, val and test; empty where the folder does not divide them.
        divided: By split the pairs `(2, k)` of a published division of the edges.
        negatives: Published negatives of pairs that are scored.
    """

    num_nodes: int
    edges: dict[str, Tensor]
    texts: list[str]
    pictures: list[Path | None]
    classes: list[str]
    splits: dict[str, list[int]] = field(default_factory=dict)
    divided: dict[str, Tensor] = field(default_factory=dict)
    negatives: dict[tuple[int, int], list[int]] = field(default_factory=dict)


def layout_of(root: Path) -> str:
    """Return the layout of a folder, told by its files.

    Raises:
        UsageError: If it has none.
    """
    if any(root.glob("*edges-nodeid.pt")) or any(root.glob("lp-edge-split*.pt")):
        return "mm_graph"
    if (root / "nodes.csv").is_file():
        return "tables"
    if (root / f"{root.resolve().name}.csv").is_file():
        return "magb"
    raise UsageError(
        f"{root} has no graph that is known: nc_edges-nodeid.pt or lp-edge-split-hard.pt (MM-Graph), {root.name}.csv "
        "(MAGB), or nodes.csv and edges.csv. Name the folder of one data set, such as ele-fashion or Movies."
    )


def read_mm_graph(root: Path) -> GraphFiles:
    """Return a data set of MM-Graph: `ele-fashion`, `sports-copurchase` and so on.

    `nc_edges-nodeid.pt`, `labels-w-missing.pt` and `split.pt`, or `lp-edge-split*.pt` with its pairs and negatives;
    `node_mapping.pt`, `*raw-text.jsonl` and an unpacked folder of pictures named by raw id where they are there.

    Reference:
        Zhu et al., Mosaic of Modalities: A Comprehensive Benchmark for Multimodal Graph Learning, 2024
        (arXiv 2406.16321).
    """
    divided: dict[str, Tensor] = {}
    negatives: dict[tuple[int, int], list[int]] = {}
    ends = [_loaded(path) for path in sorted(root.glob("*edges-nodeid.pt"))[:1]]
    edges = _pairs(ends[0], root) if ends else torch.zeros(2, 0, dtype=torch.long)
    for path in sorted(root.glob("lp-edge-split*.pt"))[:1]:
        published = _loaded(path)
        for split, name in (("train", "train"), ("val", "valid"), ("test", "test")):
            try:
                first, second = (_tensor(published[name][end]) for end in ("source_node", "target_node"))
            except (KeyError, TypeError):
                raise RunError(
                    f"{path} has no '{name}' with source_node and target_node. Is it the right file?"
                ) from None
            divided[split] = torch.stack((first, second))
            if "target_node_neg" in published[name]:
                rows = _tensor(published[name]["target_node_neg"]).tolist()
                pairs = zip(first.tolist(), second.tolist(), rows, strict=True)
                negatives |= {(a, b): [n for n in row if n not in (a, b)] for a, b, row in pairs}
        edges = torch.cat([edges, *divided.values()], 1)
    labels = [int(label) for path in root.glob("labels*.pt") for label in _tensor(_loaded(path)).tolist()]
    known = {str(raw): int(node) for path in root.glob("node_mapping.pt") for raw, node in _loaded(path).items()}
    count = max([len(labels), int(edges.max()) + 1 if edges.numel() else 0, *(node + 1 for node in known.values())])
    texts = [""] * count
    for path in sorted(root.glob("*raw-text.jsonl")):
        for row in _lines(path):
            node = _node(_first(row, IDS), known, count)
            if node is not None:
                texts[node] = _joined(_first(row, TEXTS))
    pictures: list[Path | None] = [None] * count
    for path in _pictures(root):
        node = _node(path.stem, known, count)
        if node is not None:
            pictures[node] = path
    splits: dict[str, list[int]] = {}
    for path in root.glob("split.pt"):
        published = _loaded(path)
        splits = {split: _tensor(published[f"{split}_idx"]).tolist() for split in ("train", "val", "test")}
    classes = [str(label) if label >= 0 else "" for label in labels] or [""] * count
    classes += [""] * (count - len(classes))
    return GraphFiles(count, {"edge": edges}, texts, pictures, classes, splits, divided, negatives)


def read_magb(root: Path) -> GraphFiles:
    """Return a data set of MAGB: `Movies`, `Toys`, `Grocery`, `RedditS` and so on.

    `NAME.csv` with id, text, label and the list of neighbours, and the unpacked folder `NAMEImages` of pictures named
    by id. The graph is read from the table, as `NAMEGraph.pt` opens with DGL only.

    Reference:
        Yan et al., When Graph Meets Multimodal: Benchmarking and Meditating on Multimodal Attributed Graphs Learning,
        2024 (arXiv 2410.09132).
    """
    path = root / f"{root.resolve().name}.csv"
    rows = list(_table(path))
    if not any(_first(row, NEIGHBOURS) for row in rows):
        raise UsageError(
            f"{path} has no column of neighbours ({', '.join(NEIGHBOURS[:2])}), and the graph file beside it opens "
            "with DGL only. Save its edges as edges.csv (source,target) and the table as nodes.csv: layout tables."
        )
    ids = [str(_first(row, IDS) if _first(row, IDS) is not None else number) for number, row in enumerate(rows)]
    known = {raw: node for node, raw in enumerate(ids)}
    pairs = []
    for node, row in enumerate(rows):
        for other in _list(_first(row, NEIGHBOURS), path, node):
            if str(other) in known:
                pairs.append((node, known[str(other)]))
    edges = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).t()
    found = {file.stem: file for file in _pictures(root)}
    texts = [_said(row) for row in rows]
    classes = [_joined(_first(row, CLASSES)) for row in rows]
    return GraphFiles(len(rows), {"edge": edges}, texts, [found.get(raw) for raw in ids], classes)


def read_tables(root: Path) -> GraphFiles:
    """Return a graph of one's own: `nodes.csv` and `edges.csv`.

    Columns are id, text, image, label and split of the one, source, target and relation of the other. Only the ids
    and the ends of the edges are needed; `image` is a path relative to the folder.

    Raises:
        UsageError: If a column is missing, or an edge or picture names what is not there.
    """
    rows = list(_table(root / "nodes.csv"))
    known = {str(_first(row, IDS)): node for node, row in enumerate(rows)}
    if len(known) < len(rows) or any(_first(row, IDS) is None for row in rows):
        raise UsageError(f"{root / 'nodes.csv'} must have a column id, another in each row.")
    pairs: dict[str, list[tuple[int, int]]] = {}
    for number, row in enumerate(_table(root / "edges.csv")):
        ends = [known.get(str(row.get(end))) for end in ("source", "target")]
        if None in ends:
            raise UsageError(f"{root / 'edges.csv'} row {number + 1} joins nodes that nodes.csv has not.")
        pairs.setdefault(row.get("relation") or "edge", []).append((int(ends[0] or 0), int(ends[1] or 0)))
    pictures: list[Path | None] = []
    for row in rows:
        path = (root / row["image"]).resolve() if row.get("image") else None
        if path is not None and not path.is_relative_to(root.resolve()):
            raise UsageError(
                f"nodes.csv names {row['image']}, which is outside {root}. Pictures must lie in the folder."
            )
        pictures.append(path)
    splits: dict[str, list[int]] = {}
    for node, row in enumerate(rows):
        if row.get("split"):
            splits.setdefault(row["split"], []).append(node)
    edges = {name: torch.tensor(each).t() for name, each in pairs.items()}
    classes = [_joined(_first(row, CLASSES)) for row in rows]
    return GraphFiles(len(rows), edges, [_said(row) for row in rows], pictures, classes, splits)


READERS = {"mm_graph": read_mm_graph, "magb": read_magb, "tables": read_tables}


def _loaded(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises whatever it stumbles on
        raise RunError(f"{path} cannot be read as tensors ({type(error).__name__}). Download it again.") from error


def _tensor(values: Any) -> Tensor:
    return values if isinstance(values, Tensor) else torch.tensor(values)


def _pairs(values: Any, root: Path) -> Tensor:
    """Return `(2, E)` of pairs that are stored as rows or as columns."""
    edges = _tensor(values).long()
    if edges.dim() != 2 or 2 not in edges.shape:
        raise RunError(f"the edges of {root} have shape {tuple(edges.shape)}, not (E, 2). Download them again.")
    return edges.t() if edges.shape[1] == 2 else edges


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line) if line.strip() else None
            except json.JSONDecodeError as error:
                raise RunError(f"{path} line {number} is no JSON ({error.msg}). Unpack it again.") from error
            if isinstance(row, dict):
                yield row


def _table(path: Path) -> Iterator[dict[str, str]]:
    if not path.is_file():
        raise UsageError(f"there is no {path}.")
    csv.field_size_limit(sys.maxsize)  # lists of neighbours are longer than the usual limit
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file)


def _pictures(root: Path) -> Iterable[Path]:
    folders = [path for path in sorted(root.iterdir()) if path.is_dir() and "image" in path.name.lower()]
    return (path for folder in folders for path in sorted(folder.rglob("*")) if path.suffix.lower() in PICTURES)


def _first(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)


def _joined(said: Any) -> str:
    return " ".join(" ".join(map(str, said if isinstance(said, list) else [said or ""])).split())


def _said(row: Mapping[str, Any]) -> str:
    return _joined(_first(row, TEXTS)) or _joined([row.get(part) or "" for part in PARTS])


def _list(said: Any, path: Path, node: int) -> Sequence[Any]:
    try:
        found = ast.literal_eval(str(said or "[]"))
    except (ValueError, SyntaxError):
        raise RunError(f"{path} row {node + 1} has no list of neighbours, but {str(said)[:40]!r}.") from None
    return found if isinstance(found, (list, tuple)) else [found]


def _node(raw: Any, known: Mapping[str, int], count: int) -> int | None:
    if known:
        return known.get(str(raw))
    node = int(raw) if str(raw).isdigit() else -1
    return node if 0 <= node < count else None
