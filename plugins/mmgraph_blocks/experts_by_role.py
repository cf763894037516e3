"""One expert for what is read and one for what is being drawn, and attention over all (BAGEL)."""

from __future__ import annotations

from torch import Tensor, nn

from mmgraph.blocks import Block
from mmgraph.cache import LayerCache
from mmgraph.sequence import Layout, MultimodalSequence
from mmgraph_blocks.experts import Expert, run
from mmgraph_blocks.layer import check_heads, modulation

ROLES = ("understanding", "generation")


class ExpertsByRoleBlock(Block):
    r"""Projections and feed-forward of each role's own; attention is shared.

    The formulas are those of experts by modality, with \(m(i) = \) `generation` where position i is of a span that is
    being drawn (noised, masked, or read token by token), and `understanding` for texts, markers, queries and pictures
    that are given. A picture that was drawn and is read on changes its expert with its role; a processor that makes
    clean and noised copies gives each its own.

    Shapes:
        hidden `(B, L, D)` to `(B, L, D)`.

    Args:
        num_heads: Attention heads; must divide the model width.
        mlp_ratio: Hidden width of each feed-forward over the model width, before the 2/3 of a gated unit.
        dropout: Dropout on attention and feed-forward outputs.

    Reference:
        Deng et al., Emerging Properties in Unified Multimodal Pretraining (BAGEL), 2025 (arXiv 2505.14683; there the
            generation expert reads clean latents too).
    """

    def __init__(self, num_heads: int = 8, mlp_ratio: float = 4.0, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.mlp_ratio = mlp_ratio
        self.dropout = dropout

    def spawn(self) -> ExpertsByRoleBlock:
        """Return an unbuilt block with the same options."""
        return ExpertsByRoleBlock(self.num_heads, self.mlp_ratio, dropout=self.dropout)

    def build(self, dim: int, condition_dim: int) -> None:
        """Create both experts.

        Raises:
            UsageError: If the heads do not divide the width.
        """
        check_heads(self.num_heads, dim)
        self.experts = nn.ModuleDict({name: Expert(dim, self.mlp_ratio) for name in ROLES})
        if condition_dim:
            self.modulation = modulation(condition_dim, dim)

    @property
    def active_parameters(self) -> int:
        """Parameters that one position meets."""
        own = sum(parameter.numel() for parameter in self.experts.parameters())
        return sum(parameter.numel() for parameter in self.parameters()) - own // 2

    def route(self, layout: Layout) -> Tensor:
        """Return the number of each position's expert, `(B, L)`."""
        return ((layout.role == 1) & (layout.modality > 0)).long()

    def forward(
        self, hidden: Tensor, sequence: MultimodalSequence, cache: LayerCache | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the hidden states after attention and the experts' feed-forward; no auxiliary loss."""
        experts: list[Expert] = list(self.experts.values())  # type: ignore[arg-type]
        chosen = self.route(sequence.layout)
        options = {"num_heads": self.num_heads, "dropout": self.dropout}
        return run(self, experts, chosen, hidden, sequence, cache, **options), {}  # type: ignore[arg-type]
