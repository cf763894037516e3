from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from PIL import Image
from torch_geometric.data import Data, HeteroData

from mmgraph.errors import UsageError
from mmgraph.graphs import GraphNode, MultimodalGraph


def paper(path):
    """Two authors, three papers; papers have titles, one has a picture."""
    data = HeteroData()
    data["author"].num_nodes = 2
    data["paper"].num_nodes = 3
    data["author", "writes", "paper"].edge_index = torch.tensor([[0, 0, 1], [0, 1, 2]])
    data["paper", "cites", "paper"].edge_index = torch.tensor([[2], [0]])
    data["paper"].train_mask = torch.tensor([True, False, True])
    data["paper"].test_mask = torch.tensor([False, True, False])
    Image.new("RGB", (5, 4), "red").save(path)
    return data


def test_heterogeneous_data_becomes_one_typed_graph(tmp_path):
    picture = tmp_path / "one.png"
    graph = MultimodalGraph.from_pyg(
        paper(picture), texts={"paper": ["a", None, "c"]}, images={"author": [None, picture]}
    )
    assert graph.relations == ("author-writes-paper", "paper-cites-paper")
    assert graph.num_nodes == 5
    assert graph.edge_index.tolist() == [[0, 0, 1, 4], [2, 3, 4, 2]]
    assert graph.edge_type.tolist() == [0, 0, 0, 1]
    assert graph.edges("paper-cites-paper").tolist() == [[4], [2]]
    assert graph.data.node_type.tolist() == [0, 0, 1, 1, 1]
    assert [graph.text(node) for node in range(5)] == [None, None, "a", None, "c"]
    assert graph.present["text"].tolist() == [False, False, True, False, True]
    assert graph.present["image"].tolist() == [False, True, False, False, False]
    shown = graph.image(1)
    assert shown is not None
    assert shown.shape == (3, 4, 5)
    assert shown[:, 0, 0].tolist() == [255, 0, 0]
    assert graph.image(0) is None
    assert {name: nodes.tolist() for name, nodes in graph.splits.items()} == {"train": [2, 4], "test": [3]}
    assert graph.adjacency.gather(torch.tensor([2]).numpy())[1].tolist() == [0, 4]


def test_plain_data_with_and_without_types():
    data = Data(x=torch.randn(3, 2), edge_index=torch.tensor([[0, 1], [1, 2]]))
    assert MultimodalGraph.from_pyg(data).relations == ("edge",)
    data.edge_type = torch.tensor([0, 2])
    assert MultimodalGraph.from_pyg(data).relations == ("relation_0", "relation_1", "relation_2")
    named = MultimodalGraph.from_pyg(data, relations=["a", "b", "c"], sources={"a": ["label"]})
    assert named.sources == {"a": ("label",)}
    assert named.text(0) is None
    assert named.image(0) is None
    assert not named.present["text"].any()


def test_pictures_may_be_tensors_or_drawn_when_needed():
    data = Data(num_nodes=2, edge_index=torch.zeros(2, 0, dtype=torch.long))
    whole = torch.zeros(3, 2, 2, dtype=torch.uint8)
    assert MultimodalGraph(data, ["r"], images=[whole, None]).image(0) is whole
    drawn = []
    graph = MultimodalGraph(data, ["r"], images=[False, True], image=lambda node: drawn.append(node) or whole)
    assert graph.present["image"].tolist() == [False, True]
    assert graph.image(0) is None
    assert drawn == []
    assert graph.image(1) is whole


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"texts": ["a"]}, "1 texts were given for 2 nodes"),
        ({"relations": ["a"]}, "only 1 relations are named"),
        ({"sources": {"z": ["label"]}}, "relations that the graph has not: z"),
    ],
)
def test_wrong_sizes_and_names(options, message):
    data = Data(num_nodes=2, edge_index=torch.tensor([[0], [1]]), edge_type=torch.tensor([1]))
    with pytest.raises(UsageError, match=message):
        MultimodalGraph(data, **{"relations": ["a", "b"], **options})


def test_contents_of_node_types_are_checked(tmp_path):
    data = paper(tmp_path / "one.png")
    with pytest.raises(UsageError, match="unknown node types book"):
        MultimodalGraph.from_pyg(data, texts={"book": ["a"]})
    with pytest.raises(UsageError, match="1 contents were given for 3 nodes of type 'paper'"):
        MultimodalGraph.from_pyg(data, texts={"paper": ["a"]})
    graph = MultimodalGraph.from_pyg(data, images={"paper": [tmp_path / "none.png", None, None]})
    with pytest.raises(UsageError, match="of a node cannot be read"):
        graph.image(2)


def test_nodes_of_samples_are_equal_by_what_is_seen():
    data = Data(num_nodes=2, edge_index=torch.zeros(2, 0, dtype=torch.long))
    one, two = MultimodalGraph(data, ["r"]), MultimodalGraph(data, ["r"])
    assert GraphNode(one, 1, 3) == GraphNode(two, 1, 3)
    assert GraphNode(one, 1, 3) != GraphNode(one, 1, 4)
    assert GraphNode(one, 1, 3) != GraphNode(one, 1, 3, ("image",))


def test_contracts_do_not_import_pyg():
    modules = "mmgraph.graphs, mmgraph.graph_samplers, mmgraph.graph_encoders, mmgraph.graph_fusion, mmgraph.leaks"
    code = (
        f"import sys, mmgraph.graph_batches, {modules}, mmgraph.graph_encoders as e, mmgraph.graph_samplers as s\n"
        "[getattr(e, n) for n in dir(e)], [getattr(s, n) for n in dir(s)]\n"
        "print('torch_geometric' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
