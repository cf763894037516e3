"""The suite of graph injectors: tokens of the right number and width, each node's from its own row alone."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mmgraph.graph_injectors import GraphInjector, NodeTokens
from mmgraph.graph_samplers import Neighbourhood
from mmgraph.testing.stand_ins import CONDITION_DIM, DIM
from mmgraph.testing.suite import Suite, close, expect, stir

NODES, NEIGHBOURS, CONTENTS, WORDS, RELATIONS = 4, 3, 6, 5, 3


class GraphInjectorSuite(Suite):
    """What `mmgraph.graph_injectors.GraphInjector` promises."""

    contract = GraphInjector

    def check_shape(self) -> None:
        """Gives `num_tokens` finite tokens a node, also with no neighbour, with no content, and with a far one."""
        injector = self._built()
        width = CONDITION_DIM if injector.place == "condition" else DIM
        for name, nodes in (("nodes", _nodes()), ("nodes that nobody is near", _nodes(neighbours=0))):
            m = nodes.neighbours.shape[1]
            shape = (NODES, injector.num_tokens(m), width)
            found = injector(nodes)
            expect(tuple(found.shape) == shape, f"{name} gave {tuple(found.shape)}; expected {shape}.")
            expect(found.isfinite().all(), f"{name} gave tokens that are not finite; mind rows where nothing is seen.")
        near = _nodes()
        far = replace(near, neighbourhood=replace(near.neighbourhood, hop=near.neighbourhood.hop * 100))
        expect(injector(far).isfinite().all(), "a neighbour a hundred hops away gave tokens that are not finite.")

    def check_number(self) -> None:
        """More neighbours never make fewer tokens; what joins the condition is one vector, a marker one a neighbour."""
        injector = self._built()
        counts = [injector.num_tokens(m) for m in range(NEIGHBOURS + 1)]
        expect(counts == sorted(counts), f"0 to {NEIGHBOURS} neighbours give {counts} tokens.")
        if injector.place == "condition":
            expect(set(counts) == {1}, f"`place` is condition, so one vector a node is needed, not {counts}.")
        if injector.linearises:
            first = injector.leading
            wanted = [first + m for m in range(NEIGHBOURS + 1)]
            expect(counts == wanted, f"it `linearises`: {first} leading and one marker a neighbour, not {counts}.")

    def check_rows(self) -> None:
        """A node's tokens depend on its own row alone."""
        injector, nodes = self._built().eval(), _nodes()
        together = injector(nodes)
        alone = injector(_row(nodes, 1))
        expect(close(together[1:2], alone), "a node alone has other tokens than in a batch.")

    def check_padding(self) -> None:
        """What stands at padding, or is not visible, changes nothing of the tokens that are read."""
        injector, nodes = self._built().eval(), _nodes()
        valid = nodes.neighbourhood.valid
        noise = torch.randn_like(nodes.neighbours) * ~valid[..., None]
        hidden = nodes.contents + torch.randn_like(nodes.contents) * ~nodes.visible[..., None]
        before, after = injector(nodes), injector(replace(nodes, neighbours=nodes.neighbours + noise, contents=hidden))
        for row, count in enumerate(valid.sum(1).tolist()):
            used = injector.num_tokens(count)
            expect(
                close(before[row, :used], after[row, :used]),
                f"a node with {count} of {NEIGHBOURS} neighbours reads what stands at padding or is hidden.",
            )

    def check_encodes(self) -> None:
        """The encoder's tokens change what it gives exactly where `encodes` says so."""
        injector, nodes = self._built().eval(), _nodes()
        other = replace(nodes, own=nodes.own + torch.randn_like(nodes.own))
        read = not close(injector(nodes), injector(other), 1e-7)
        expect(read == injector.encodes, f"`encodes` is {injector.encodes}, but the node's token is read: {read}.")

    def check_gradient(self) -> None:
        """Gradients reach every parameter, and the node's token where it is read."""
        injector, nodes = self._built().eval(), _nodes()
        own = nodes.own.clone().requires_grad_()
        found = injector(replace(nodes, own=own))
        (found * torch.randn(found.shape)).sum().backward()
        if injector.encodes:
            expect(own.grad is not None and bool(own.grad.any()), "no gradient reaches the node's token.")
        idle = [n for n, p in injector.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
        expect(not idle, f"no gradient reaches {', '.join(idle)}; freeze or remove what is not used.")

    def check_rebuild(self) -> None:
        """Building again for other sizes leaves none of the old ones."""
        injector = self._built()
        injector.build(2 * DIM, CONDITION_DIM + 2, RELATIONS + 2)
        width = CONDITION_DIM + 2 if injector.place == "condition" else 2 * DIM
        found = injector(_nodes(dim=2 * DIM, relations=RELATIONS + 2))
        expect(found.shape[-1] == width, f"built for width {width} it gives {found.shape[-1]}.")

    def _built(self) -> GraphInjector:
        injector = self.make()
        injector.build(DIM, CONDITION_DIM, RELATIONS)
        stir(injector)
        return injector


def _nodes(*, neighbours: int = NEIGHBOURS, dim: int = DIM, relations: int = RELATIONS) -> NodeTokens:
    """Four nodes with 3, 2, 1 and 0 neighbours; one content has nothing visible."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    valid = torch.arange(neighbours) < torch.tensor([3, 2, 1, 0])[:, None]
    around = Neighbourhood(
        torch.arange(NODES * neighbours).view(NODES, neighbours) % CONTENTS * valid,
        (1 + torch.arange(neighbours)).expand(NODES, neighbours) * valid,
        torch.where(valid, torch.arange(NODES * neighbours).view(NODES, neighbours) % relations, -1),
        torch.rand(NODES, neighbours, generator=generator) * valid,
        valid,
    )
    visible = torch.arange(WORDS) < torch.tensor([5, 3, 1, 0, 2, 4])[:, None]
    places = torch.arange(NODES * (1 + neighbours)).view(NODES, -1) % CONTENTS
    own, near, contents = draw(NODES, dim), draw(NODES, neighbours, dim), draw(CONTENTS, WORDS, dim)
    return NodeTokens(own, near, around, contents, visible, places)


def _row(nodes: NodeTokens, row: int) -> NodeTokens:
    one = slice(row, row + 1)
    return replace(
        nodes,
        own=nodes.own[one],
        neighbours=nodes.neighbours[one],
        neighbourhood=nodes.neighbourhood.rows(one),
        places=nodes.places[one],
    )


SUITE = GraphInjectorSuite
