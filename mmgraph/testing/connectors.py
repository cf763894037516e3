"""The suite of connectors: a known number of positions, and rows that do not touch."""

from __future__ import annotations

import torch
from torch import Tensor

from mmgraph.connectors import Connector
from mmgraph.testing.stand_ins import DIM, Vectors
from mmgraph.testing.suite import Suite, close, expect, stir


class ConnectorSuite(Suite):
    """What `mmgraph.connectors.Connector` promises."""

    contract = Connector

    def check_shape(self) -> None:
        """Gives num_tokens(n) embeddings of the model's width, known before anything runs."""
        connector = self._built()
        for n in (1, 4, 16):
            m = connector.num_tokens(n)
            expect(isinstance(m, int) and m > 0, f"num_tokens({n}) is {m!r}; expected a positive int.")
            found = connector(self._tokens(n))
            expect(
                tuple(found.shape) == (3, m, DIM),
                f"{n} tokens gave {tuple(found.shape)}; num_tokens and the width say {(3, m, DIM)}.",
            )

    def check_rows(self) -> None:
        """A row's embeddings do not depend on the other rows."""
        connector = self._built().eval()
        tokens = self._tokens(4)
        together, alone = connector(tokens), connector(tokens[1:2])
        expect(
            close(together[1:2], alone),
            "row 1 alone differs from row 1 in a batch; normalise within rows only.",
        )

    def check_gradient(self) -> None:
        """Gradients reach the tokens and every parameter."""
        connector = self._built()
        tokens = self._tokens(4).requires_grad_()
        weight = torch.randn(3, connector.num_tokens(4), DIM)
        (connector(tokens) * weight).sum().backward()
        expect(
            tokens.grad is not None and bool(tokens.grad.abs().sum() > 0), "no gradient reaches the tokens."
        )
        idle = [
            n
            for n, p in connector.named_parameters()
            if p.requires_grad and (p.grad is None or not p.grad.any())
        ]
        expect(not idle, f"no gradient reaches {', '.join(idle)}; freeze or remove what is not used.")

    def check_rebuild(self) -> None:
        """Building again for another tokenizer and width leaves no stale size."""
        connector = self._built()
        wider = Vectors(3)
        connector.build(wider, 2 * DIM)
        found = connector(torch.randn(2, 4, wider.token_dim))
        width = found.shape[-1]
        expect(width == 2 * DIM, f"built for width {2 * DIM} it gives {width}; take sizes from `build`.")

    def _built(self) -> Connector:
        connector = self.make()
        connector.build(Vectors(), DIM)
        stir(connector)
        return connector

    def _tokens(self, n: int) -> Tensor:
        return torch.randn(3, n, Vectors().token_dim)


SUITE = ConnectorSuite
