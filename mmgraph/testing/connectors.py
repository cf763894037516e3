"""The suite of connectors: a known number of positions, and rows that do not touch."""

from __future__ import annotations

import torch
from torch import Tensor

from mmgraph.connectors import Connector, TextContext
from mmgraph.testing.stand_ins import DIM, Vectors
from mmgraph.testing.suite import Suite, close, expect, stir


class ConnectorSuite(Suite):
    """What `mmgraph.connectors.Connector` promises."""

    contract = Connector

    def check_shape(self) -> None:
        """Gives num_tokens(n) embeddings of the model's width, known before anything runs."""
        for side in (2, 4):
            connector, n = self._built(side), side**2
            m = connector.num_tokens(n)
            expect(isinstance(m, int) and m > 0, f"num_tokens({n}) is {m!r}; expected a positive int.")
            found = connector(_tokens(side))
            expect(
                tuple(found.shape) == (3, m, DIM),
                f"{n} tokens gave {tuple(found.shape)}; num_tokens and the width say {(3, m, DIM)}.",
            )

    def check_rows(self) -> None:
        """A row's embeddings do not depend on the other rows."""
        connector = self._built().eval()
        tokens = _tokens()
        together, alone = connector(tokens), connector(tokens[1:2])
        expect(
            close(together[1:2], alone),
            "row 1 alone differs from row 1 in a batch; normalise within rows only.",
        )

    def check_gradient(self) -> None:
        """Gradients reach the tokens and every parameter, of a connector that fuses with the second tokens too."""
        connector = self._built()
        if connector.fuses:
            connector.build_beside(Vectors(), Vectors())
            stir(connector)
        tokens = _tokens().requires_grad_()
        weight = torch.randn(3, connector.num_tokens(4), DIM)
        found = connector(tokens, _texts() if connector.text_aware else None)
        if connector.fuses:
            found = found + connector.fuse(tokens, _tokens())
        (found * weight).sum().backward()
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

    def check_text(self) -> None:
        """A text-aware connector reads the row's own text, no padding behind it, and does without."""
        connector = self._built().eval()
        if not connector.text_aware:
            return
        tokens, texts = _tokens(), _texts()
        given = connector(tokens, texts)
        expect(given.isfinite().all(), "a row without any text is not finite; mask it out.")
        expect(connector(tokens, None).isfinite().all(), "without texts the output is not finite.")
        padded = TextContext(torch.where(texts.mask[:, :, None], texts.embeddings, 9.0), texts.mask)
        expect(close(connector(tokens, padded), given), "what lies behind a text's end moved the output.")
        other = texts.embeddings.clone()
        other[1, 0] = 3 * torch.randn(DIM)
        moved = (connector(tokens, TextContext(other, texts.mask)) - given).abs().amax((1, 2)) > 1e-5
        expect(
            moved.tolist() == [False, True, False],
            f"changing row 1's text moved {[row for row in range(3) if moved[row]]}; it must move row 1 and no other.",
        )

    def check_fusion(self) -> None:
        """A connector that fuses joins a second tokenizer's tokens place by place, each row by itself."""
        if not self.make().fuses:
            return
        for side in (2, 4):
            connector, beside = self._built().eval(), Vectors(side=side)
            connector.build_beside(Vectors(), beside)
            stir(connector)
            tokens, second = _tokens(), torch.randn(3, side**2, beside.token_dim, requires_grad=True)
            found = connector.fuse(tokens, second)
            expect(
                tuple(found.shape) == (3, connector.num_tokens(4), DIM),
                f"4 tokens and {side**2} beside them gave {tuple(found.shape)}; num_tokens and the width say "
                f"{(3, connector.num_tokens(4), DIM)}.",
            )
            (gradient,) = torch.autograd.grad((found[1] * torch.randn(found.shape[1:])).sum(), second)
            moved = gradient.abs().amax((1, 2)) > 0
            expect(
                moved.tolist() == [False, True, False],
                f"row 1 reads the second tokens of rows {[row for row in range(3) if moved[row]]}; expected its own.",
            )

    def _built(self, side: int = 2) -> Connector:
        connector = self.make()
        connector.build(Vectors(side=side), DIM)
        stir(connector)
        return connector


def _tokens(side: int = 2) -> Tensor:
    return torch.randn(3, side**2, Vectors().token_dim)


def _texts() -> TextContext:
    """Texts of three, two and no words."""
    mask = torch.tensor([[True] * 3, [True, True, False], [False] * 3])
    return TextContext(torch.randn(3, 3, DIM), mask)


SUITE = ConnectorSuite
