"""The suite of denoisers: zeros at first, rows apart, and a prediction that follows time and memory."""

from __future__ import annotations

import torch
from torch import Tensor

from mmgraph.denoisers import Denoiser
from mmgraph.testing.suite import Suite, close, expect, no_global_randomness, stir

ROWS, CHANNELS, GRID, TOLD, WIDTH = 3, 4, (8, 8), 5, 24


class DenoiserSuite(Suite):
    """What `mmgraph.denoisers.Denoiser` promises."""

    contract = Denoiser

    def check_shape(self) -> None:
        """Gives one finite prediction of the input's shape, for a memory of any length."""
        denoiser = self._built()
        x, time, memory = _batch()
        for m in (1, TOLD):
            found = denoiser(x, time, memory[:, :m])
            expect(found.shape == x.shape, f"{m} vectors gave {tuple(found.shape)}; expected {tuple(x.shape)}.")
            expect(found.isfinite().all(), f"{m} vectors gave numbers that are not finite.")

    def check_start(self) -> None:
        """A fresh one predicts zeros."""
        denoiser = self._fresh()
        with torch.no_grad():
            found = denoiser(*_batch())
        expect(not found.any(), f"a fresh one predicts up to {found.abs().max():.2g}; start the last layer at zero.")

    def check_rows(self) -> None:
        """A row's prediction depends on that row alone, and on nothing random."""
        denoiser = self._built()
        x, time, memory = _batch()
        with torch.no_grad(), no_global_randomness("forward in evaluation"):
            together = denoiser(x, time, memory)[1:2]
        alone = denoiser(x[1:2], time[1:2], memory[1:2])
        expect(close(together, alone, 1e-4), "a row alone has another prediction than in a batch.")

    def check_padding(self) -> None:
        """What the mask leaves out of the memory changes nothing."""
        denoiser = self._built()
        x, time, memory = _batch()
        mask = torch.ones(ROWS, TOLD, dtype=torch.bool)
        mask[:, -2:] = False
        short = denoiser(x, time, memory[:, :-2])
        padded = denoiser(x, time, memory, mask)
        expect(close(padded, short, 1e-4), "two vectors that the mask leaves out change the prediction; mind `mask`.")
        full = denoiser(x, time, memory, torch.ones_like(mask))
        expect(close(full, denoiser(x, time, memory), 1e-4), "a mask that leaves nothing out changes the prediction.")

    def check_condition(self) -> None:
        """The picture, the time and the memory each change the prediction."""
        denoiser = self._built()
        x, time, memory = _batch()
        with torch.no_grad():
            before = denoiser(x, time, memory)
            changes = {
                "x": denoiser(x + 1, time, memory),
                "time": denoiser(x, 1 - time, memory),
                "memory": denoiser(x, time, memory.flip(0)),
            }
        for name, found in changes.items():
            expect(not close(found, before, 1e-6), f"another `{name}` gives the same prediction; read it.")

    def check_gradient(self) -> None:
        """Gradients reach the picture, the memory and every parameter."""
        denoiser = self._built()
        x, time, memory = _batch()
        x.requires_grad_()
        memory.requires_grad_()
        found = denoiser(x, time, memory)
        (found * torch.randn(found.shape)).sum().backward()
        for name, tensor in (("x", x), ("memory", memory)):
            expect(tensor.grad is not None and bool(tensor.grad.any()), f"no gradient reaches `{name}`.")
        idle = [n for n, p in denoiser.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
        expect(not idle, f"no gradient reaches {', '.join(idle)}; freeze or remove what is not used.")

    def check_rebuild(self) -> None:
        """Building again for other sizes leaves none of the old ones."""
        denoiser = self._built()
        denoiser.build(CHANNELS + 1, (16, 16), WIDTH + 2)
        x = torch.randn(2, CHANNELS + 1, 16, 16)
        found = denoiser(x, torch.rand(2), torch.randn(2, 3, WIDTH + 2))
        expect(found.shape == x.shape, f"built again for {tuple(x.shape)} it gives {tuple(found.shape)}.")

    def _fresh(self) -> Denoiser:
        denoiser = self.make()
        denoiser.build(CHANNELS, GRID, WIDTH)
        return denoiser.eval()

    def _built(self) -> Denoiser:
        denoiser = self._fresh()
        stir(denoiser)
        return denoiser


def _batch() -> tuple[Tensor, Tensor, Tensor]:
    return torch.randn(ROWS, CHANNELS, *GRID), torch.tensor([0.1, 0.4, 0.8]), torch.randn(ROWS, TOLD, WIDTH)


SUITE = DenoiserSuite
