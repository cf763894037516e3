from __future__ import annotations

import pytest
import torch


def neighbor_sample(colptr, row, seed, num_neighbors, *rest):
    """Sample as pyg-lib's kernel of this name is documented to: breadth first, no edge twice, from torch's state.

    `rest` ends in csc, replace, directed, disjoint, strategy, return_edge_id, as PyG passes them.
    """
    assert rest[-6:] == (True, False, True, False, "uniform", True)
    found, place = seed.tolist(), {int(node): number for number, node in enumerate(seed)}
    senders, receivers, edges, begin = [], [], [], 0
    for count in num_neighbors:
        end = len(found)
        for receiver in range(begin, end):
            first, last = int(colptr[found[receiver]]), int(colptr[found[receiver] + 1])
            drawn = torch.arange(first, last)
            if 0 <= count < last - first:
                drawn = first + torch.randperm(last - first)[:count]
            for edge in drawn.tolist():
                sender = int(row[edge])
                if sender not in place:
                    place[sender] = len(found)
                    found.append(sender)
                senders.append(place[sender])
                receivers.append(receiver)
                edges.append(edge)
        begin = end
    return (*(torch.tensor(each, dtype=torch.long) for each in (senders, receivers, found, edges)),)


@pytest.fixture
def compiled(monkeypatch):
    """PyG with compiled sampling: pyg-lib where it is installed, else a stand-in for that one kernel."""
    from torch_geometric import typing

    if not typing.WITH_PYG_LIB:
        monkeypatch.setattr(typing, "WITH_PYG_LIB", True)
        monkeypatch.setattr(torch.ops.pyg, "neighbor_sample", neighbor_sample, raising=False)
