"""The contract of transformer blocks, and the lazy names of every installed one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from mmgraph import registry
from mmgraph.configured import Configured

if TYPE_CHECKING:
    from mmgraph.cache import LayerCache
    from mmgraph.sequence import MultimodalSequence


class Block(Configured, nn.Module, ABC):
    """One layer over the sequence.

    Reads attention, routing and conditioning from the sequence's layout; time modulates only the positions
    of its own span. A block given in a recipe is a prototype: the model spawns `depth` fresh copies.
    """

    reads_memory: ClassVar[bool] = False
    """Whether it attends to `sequence.memory`; a model whose blocks do not refuses spans placed there."""

    modalities: tuple[str, ...] | None = None
    """Modalities that it has weights for; None: any. A model refuses spans of others."""

    @abstractmethod
    def build(self, dim: int, condition_dim: int) -> None:
        """Create the parameters for this model width and width of the conditioning vectors."""

    @abstractmethod
    def spawn(self) -> Block:
        """Return an unbuilt block with the same options."""

    @abstractmethod
    def forward(
        self, hidden: Tensor, sequence: MultimodalSequence, cache: LayerCache | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the hidden states `(B, L, D)` after this layer, and auxiliary losses by name.

        Args:
            hidden: `(B, L, D)`.
            sequence: Layout, mask, memory and conditioning.
            cache: Keys and values of earlier positions, extended in place.
        """

    def statistics(self) -> dict[str, Tensor]:
        """Return numbers about the last forward pass in training, by name, which the model logs; most have none."""
        return {}


__getattr__, __dir__ = registry.lazy("blocks")
