from __future__ import annotations

import csv
import json
import random

import pytest
import torch
from mmgraph_datasets.graph_files import layout_of
from mmgraph_datasets.node_dataset import NodeDataset
from PIL import Image
from torch_geometric.data import Data

from mmgraph.datasets import graph_folder
from mmgraph.errors import RunError, UsageError
from mmgraph.evaluation import links
from mmgraph.graphs import MultimodalGraph
from mmgraph.testing import assert_conforms
from mmgraph.testing.stand_ins import pictures

COUNT = 40
EVERY = {"draw": 1, "name": 1, "ask": 1, "describe": 1, "link": 1}
PAIRS = [(node, (node * 3 + step) % COUNT) for node in range(COUNT) for step in (1, 2)]
PAIRS = [(a, b) for a, b in PAIRS if a != b]
SPLIT = {"train_idx": list(range(24)), "val_idx": list(range(24, 30)), "test_idx": list(range(30, COUNT))}


def raw(node):
    return f"B{node:05d}"


def draw(folder, name, node):
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20 + node, 24), (6 * node % 256, 100, 200 - node)).save(folder / f"{name}.jpg")


@pytest.fixture(scope="module")
def mm_graph(tmp_path_factory):
    """A folder as MM-Graph lays out node classification, node 3 without text and node 5 without picture."""
    root = tmp_path_factory.mktemp("mm") / "ele-fashion"
    root.mkdir()
    torch.save(PAIRS, root / "nc_edges-nodeid.pt")
    torch.save([node % 3 for node in range(COUNT)], root / "labels-w-missing.pt")
    torch.save({name: torch.tensor(nodes) for name, nodes in SPLIT.items()}, root / "split.pt")
    torch.save({raw(node): node for node in range(COUNT)}, root / "node_mapping.pt")
    rows = [{"id": raw(n), "raw_text": [f"item {n}", "red  shoes"]} for n in range(COUNT) if n != 3]
    (root / "ele-fashion-raw-text.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    for node in range(COUNT):
        if node != 5:
            draw(root / "ele-fashion-images_extracted", raw(node), node)
    return root


@pytest.fixture(scope="module")
def published_links(tmp_path_factory):
    """A folder as MM-Graph lays out link prediction."""
    root = tmp_path_factory.mktemp("lp") / "sports-copurchase"
    root.mkdir()
    ends = torch.tensor(sorted({tuple(sorted(pair)) for pair in PAIRS})).t()
    cut = ends.shape[1] - 12
    parts = {"train": ends[:, :cut], "valid": ends[:, cut : cut + 4], "test": ends[:, cut + 4 :]}
    joined = set(map(tuple, ends.t().tolist()))
    saved = {}
    for name, pairs in parts.items():
        saved[name] = {"source_node": pairs[0], "target_node": pairs[1]}
        if name != "train":
            asked = pairs[0].tolist()
            free = [[n for n in range(COUNT) if n != a and (min(a, n), max(a, n)) not in joined] for a in asked]
            saved[name]["target_node_neg"] = torch.tensor([row[:6] for row in free])
    torch.save(saved, root / "lp-edge-split-hard.pt")
    rows = [{"asin": str(node), "text": f"ball {node}"} for node in range(COUNT)]
    (root / "sports-raw-text.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def magb(tmp_path_factory):
    """A folder as MAGB lays out its data sets."""
    root = tmp_path_factory.mktemp("magb") / "Movies"
    root.mkdir()
    with (root / "Movies.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.DictWriter(file, ["id", "text", "label", "neighbors"])
        rows.writeheader()
        for node in range(COUNT):
            near = [b for a, b in PAIRS if a == node]
            said = {"id": 100 + node, "text": f"film, {node}", "label": f"genre {node % 3}"}
            rows.writerow({**said, "neighbors": str([100 + b for b in near])})
            draw(root / "MoviesImages", str(100 + node), node)
    (root / "MoviesGraph.pt").write_bytes(b"what DGL writes")
    return root


def make(root, **options):
    return graph_folder(4, **{"root": str(root), "image_size": 8, "num_negatives": 3, **options})


@pytest.mark.parametrize("layout", ["mm_graph", "magb"])
def test_the_contract(layout, request):
    root = request.getfixturevalue(layout)
    assert layout_of(root) == layout
    assert_conforms("datasets", graph_folder, lambda: make(root, tasks=EVERY))
    assert_conforms("datasets", graph_folder, lambda: make(root, graph=False))


class TestMMGraph:
    def test_texts_pictures_classes_and_division(self, mm_graph):
        data = make(mm_graph)
        graph = data.graph
        assert graph.text(4) == "item 4 red shoes"
        assert graph.text(3) is None
        assert graph.image(5) is None
        assert graph.image(4).shape == (3, 8, 8)
        assert graph.image(4).float().mean((1, 2)).sub(torch.tensor([24.0, 100, 196])).abs().max() < 6
        assert data.class_names == ("0", "1", "2")
        assert graph.splits["test"].tolist() == SPLIT["test_idx"]
        assert data.items("test") == SPLIT["test_idx"]
        wanted = {frozenset(pair) for pair in PAIRS}
        assert {frozenset(pair) for pair in graph.edge_index.t().tolist()} == wanted
        assert graph.edge_index.shape[1] == 2 * len(wanted)

    def test_who_lacks_what_a_task_needs_gets_another(self, mm_graph):
        data = make(mm_graph)
        assert {data.sample("train", node, "draw", random.Random(0)).task for node in (3, 5)} == {"ask"}
        sample = data.sample("train", 5, "ask", random.Random(0))
        assert [segment.modality for segment in sample.segments] == ["graph", "text", "text"]

    def test_published_pairs_and_negatives(self, published_links):
        data = make(published_links, tasks={"link": 1}, num_negatives=6)
        asked = links.queries(data.evaluation("test", "link"))
        saved = torch.load(published_links / "lp-edge-split-hard.pt")["test"]
        assert [query[0].meta["other"] for query in asked] == saved["target_node"].tolist()
        assert [[s.meta["other"] for s in query[1:]] for query in asked] == saved["target_node_neg"].tolist()
        held = {frozenset(pair) for split in ("val", "test") for pair in data.links.pairs(split)}
        assert len(held) == 12
        assert not held & {frozenset(pair) for pair in data.graph.edge_index.t().tolist()}
        assert {data.training_sample(number).task for number in range(20)} == {"link"}

    def test_damaged_files(self, mm_graph, tmp_path):
        (tmp_path / "nc_edges-nodeid.pt").write_bytes(b"half of it")
        with pytest.raises(RunError, match="cannot be read as tensors"):
            make(tmp_path)
        torch.save(torch.zeros(4, 3), tmp_path / "nc_edges-nodeid.pt")
        with pytest.raises(RunError, match="not \\(E, 2\\)"):
            make(tmp_path)
        torch.save(torch.zeros(0, 2), tmp_path / "nc_edges-nodeid.pt")
        with pytest.raises(RunError, match="no edges between its nodes"):
            make(tmp_path)
        torch.save({"train": {}}, tmp_path / "lp-edge-split-hard.pt")
        with pytest.raises(RunError, match="no 'train' with source_node"):
            make(tmp_path)


class TestMAGB:
    def test_nodes_and_neighbours(self, magb):
        data = make(magb)
        assert data.graph.text(7) == "film, 7"
        assert data.class_names == ("genre 0", "genre 1", "genre 2")
        assert {frozenset(p) for p in data.graph.edge_index.t().tolist()} == {frozenset(p) for p in PAIRS}
        assert data.description.startswith("Movies: 40 nodes")

    def test_without_a_column_of_neighbours(self, tmp_path):
        root = tmp_path / "Toys"
        root.mkdir()
        (root / "Toys.csv").write_text("id,text\n0,ball\n", encoding="utf-8")
        with pytest.raises(UsageError, match="opens with DGL only"):
            make(root)
        (root / "Toys.csv").write_text("id,text,neighbors\n0,ball,two of them\n", encoding="utf-8")
        with pytest.raises(RunError, match="no list of neighbours"):
            make(root)


class TestTables:
    @pytest.fixture
    def tables(self, tmp_path):
        draw(tmp_path / "pictures", "one", 1)
        rows = [f"n{n},thing {n},{'pictures/one.jpg' if n % 2 else ''},class {n % 2}" for n in range(COUNT)]
        (tmp_path / "nodes.csv").write_text("\n".join(["id,text,image,label", *rows]), encoding="utf-8")
        rows = [f"n{a},n{b},{'likes' if a % 2 else 'cites'}" for a, b in PAIRS]
        (tmp_path / "edges.csv").write_text("\n".join(["source,target,relation", *rows]), encoding="utf-8")
        return tmp_path

    def test_relations_and_pictures(self, tables):
        data = make(tables)
        assert layout_of(tables) == "tables"
        assert set(data.graph.relations) == {"likes", "cites"}
        assert data.graph.present["image"].sum() == COUNT // 2
        assert sum(len(data.items(split)) for split in ("train", "val", "test")) == COUNT

    @pytest.mark.parametrize(
        ("file", "line", "said"),
        [
            ("edges.csv", "n0,n99,likes", "joins nodes that nodes.csv has not"),
            ("nodes.csv", "n0,again,,", "must have a column id"),
            ("nodes.csv", "n77,out,../secret.jpg,", "outside"),
        ],
    )
    def test_rows_that_cannot_be_meant(self, tables, file, line, said):
        with (tables / file).open("a", encoding="utf-8") as held:
            held.write(f"\n{line}")
        with pytest.raises(UsageError, match=said):
            make(tables)

    def test_usage(self, tables):
        with pytest.raises(UsageError, match="has no graph that is known"):
            make(tables / "pictures")
        with pytest.raises(UsageError, match="layout must be"):
            make(tables, layout="dgl")
        with pytest.raises(UsageError, match="max_words"):
            make(tables, max_words=0)
        with pytest.raises(UsageError, match="protocol random"):
            make(tables, protocol="grouped")
        (tables / "edges.csv").unlink()
        with pytest.raises(UsageError, match=r"there is no .*edges\.csv"):
            make(tables)


class TestAnyPyGDataSet:
    def graph(self, **more):
        data = Data(edge_index=torch.tensor(PAIRS).t(), num_nodes=COUNT)
        return MultimodalGraph.from_pyg(data, **{"texts": [f"paper {n}" for n in range(COUNT)], **more})

    def test_the_contract(self):
        held = self.graph(images=list(pictures(COUNT, 8)))
        classes = [f"c{node % 2}" for node in range(COUNT)]
        assert_conforms("datasets", NodeDataset, lambda: NodeDataset(4, multimodal_graph=held, classes=classes))
        assert not held.splits, "the user's own graph is not changed"

    def test_tasks_follow_from_the_contents(self):
        data = NodeDataset(4, {"describe": 1}, multimodal_graph=self.graph())
        assert {data.training_sample(number).task for number in range(10)} == {"describe"}
        with pytest.raises(UsageError, match="has nothing for the task 'ask'"):
            NodeDataset(4, {"ask": 1}, multimodal_graph=self.graph())
        with pytest.raises(UsageError, match="3 classes were given for 40 nodes"):
            NodeDataset(4, multimodal_graph=self.graph(), classes=["a", "b", "c"])
        masks = {f"{split}_mask": torch.zeros(COUNT, dtype=torch.bool) for split in ("train", "val", "test")}
        masks["train_mask"][:] = True
        held = MultimodalGraph.from_pyg(
            Data(edge_index=torch.tensor(PAIRS).t(), num_nodes=COUNT, **masks), texts=["a"] * COUNT
        )
        with pytest.raises(UsageError, match="no node that its tasks can use"):
            NodeDataset(4, {"describe": 1}, multimodal_graph=held)
        with pytest.raises(UsageError, match="node 0 has no picture"):
            NodeDataset(4, {"describe": 1}, multimodal_graph=self.graph()).picture(0)
