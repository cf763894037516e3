"""Rules that keep the answer out of the graph; each is one function, and each has a test that puts the leak in.

A graph makes it easy to hand a model its target by accident: through a neighbour that heard it, through the edge
that is to be predicted, or through an edge that was made from the label.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmgraph.errors import UsageError


def hide_targets(present: Tensor, nodes: Tensor, targets: Tensor) -> Tensor:
    """Return which contents may be read, those of the targets hidden wherever the batch shows them.

    In two hops a message returns to its sender, and in a batch a target may be another target's neighbour: so what
    is hidden is hidden before any message is passed, in every neighbourhood.

    Args:
        present: `(n,)` bool, which of `nodes` have contents of this modality.
        nodes: `(n,)`, the nodes that the batch shows, repeats allowed.
        targets: The nodes whose content of this modality is to be produced.
    """
    return present & ~torch.isin(nodes, targets)


def hide_held_out(present: Tensor, nodes: Tensor, splits: Mapping[str, Tensor], *, seen: Sequence[str]) -> Tensor:
    """Return which contents may be read when only some splits may be seen.

    Training sees `("train",)`: a held-out node stays in the graph as a node without contents, also where it is only
    somebody's neighbour.

    Args:
        present: `(n,)` bool.
        nodes: `(n,)`.
        splits: Nodes of each split; nodes of no split may always be seen.
        seen: Names of the splits whose contents may be read.

    Raises:
        UsageError: If a split is not one of the graph's.
    """
    unknown = sorted(set(seen) - set(splits))
    if unknown:
        raise UsageError(f"unknown splits {', '.join(unknown)}; the graph has {', '.join(splits) or 'none'}.")
    hidden = [members for name, members in splits.items() if name not in seen]
    return present & ~torch.isin(nodes, torch.cat(hidden)) if hidden else present


def remove_edges(
    edge_index: Tensor, edge_type: Tensor, pairs: Tensor, num_nodes: int
) -> tuple[Tensor, Tensor]:
    """Return the graph without any edge between `(2, k)` pairs, in both directions and of every relation.

    For whole graphs; `Adjacency.without` does the same for samplers, and a neighbourhood must be drawn without the
    edge as well: who is there only because of the edge tells of it.
    """
    keys = torch.cat((pairs[0] * num_nodes + pairs[1], pairs[1] * num_nodes + pairs[0]))
    kept = ~torch.isin(edge_index[0] * num_nodes + edge_index[1], keys)
    return edge_index[:, kept], edge_type[kept]


def check_groups(groups: Sequence[Hashable], splits: Mapping[Any, Tensor]) -> None:
    """Refuse a division that has variants of one thing on both sides.

    Args:
        groups: Of each node; None for nodes that have no variants.
        splits: Nodes of each split.

    Raises:
        UsageError: Naming a group and its two splits.
    """
    owner: dict[Hashable, str] = {}
    for split, members in splits.items():
        for node in members.tolist():
            group = groups[node]
            if group is not None and owner.setdefault(group, split) != split:
                raise UsageError(
                    f"variants of '{group}' are in the splits '{owner[group]}' and '{split}'; divide by group "
                    "(protocol: grouped), or the model copies what it has seen."
                )


def check_label_edges(relations: Sequence[str], sources: Mapping[str, Sequence[str]], label: str) -> None:
    """Refuse relations that were made from what is asked.

    Args:
        relations: Names of the relations in use.
        sources: From which attributes each was made.
        label: The attribute that is asked for.

    Raises:
        UsageError: Naming the relation.
    """
    for relation in relations:
        if label in sources.get(relation, ()):
            raise UsageError(
                f"the relation '{relation}' is made from '{label}', which is asked: its edges give the answer away. "
                f"Leave out the relation or the question."
            )


def label_agreement(edge_index: Tensor, edge_type: Tensor, labels: Tensor, num_relations: int) -> Tensor:
    """Return, for each relation, the share of its edges whose two ends have one label `(R,)`; NaN without edges.

    1 for a relation that nobody made from the label is a reason to look again. Nodes of label -1 do not count.
    """
    known = (labels[edge_index] >= 0).all(0)
    same = (labels[edge_index[0]] == labels[edge_index[1]])[known].float()
    total = torch.zeros(num_relations).scatter_add(0, edge_type[known], torch.ones_like(same))
    return torch.zeros(num_relations).scatter_add(0, edge_type[known], same) / total


@dataclass(frozen=True)
class VisibleAttributes:
    """Features of nodes by which neighbours may be chosen: what is to be produced is not among them.

    Made by `of`, which asks for the target; a sampler is given this and the edges, and nothing else.

    Args:
        features: `(N, d)`, rows of length one; zero where nothing is visible.
        visible: `(N,)` bool.
    """

    features: Tensor
    visible: Tensor

    @classmethod
    def of(
        cls, features: Mapping[str, Tensor], present: Mapping[str, Tensor], *, target: str | Collection[str] | None
    ) -> VisibleAttributes:
        """Return the mean of each node's visible features, what is to be produced left out altogether.

        Args:
            features: `(N, d)` of each modality, in one space (CLIP's, say), so that they may be compared.
            present: `(N,)` bool of each modality.
            target: The modality to be produced, or several; None only where none is (a label is asked).

        Raises:
            UsageError: If nothing is left to compare by.
        """
        targets = {target} if isinstance(target, str) else set(target or ())
        kept = [name for name in features if name not in targets]
        if not kept:
            told = "', '".join(sorted(targets))
            raise UsageError(f"without '{told}', which is to be produced, there are no features to compare nodes by.")
        total = torch.zeros_like(features[kept[0]])
        visible = torch.zeros(len(total), dtype=torch.bool)
        for name in kept:
            unit = torch.nn.functional.normalize(features[name].float(), dim=-1)
            total = total + unit * present[name][:, None]
            visible = visible | present[name]
        return cls(torch.nn.functional.normalize(total, dim=-1), visible)
