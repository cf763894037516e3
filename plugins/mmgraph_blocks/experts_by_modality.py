"""One expert for each modality, and attention over all (LlamaFusion, Mixture-of-Transformers)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmgraph.blocks import Block
from mmgraph.cache import LayerCache
from mmgraph.errors import UsageError
from mmgraph.sequence import MODALITIES, Layout, MultimodalSequence
from mmgraph_blocks.experts import Expert, run
from mmgraph_blocks.layer import check_heads, modulation


class ExpertsByModalityBlock(Block):
    r"""Projections and feed-forward of each modality's own; attention is shared.

    \[ x_i \leftarrow x_i + W^o_{m(i)} \mathrm{Attn}(W^q_{m(i)} \bar x_i, \{W^k_{m(j)} \bar x_j\},
       \{W^v_{m(j)} \bar x_j\}), \qquad x_i \leftarrow x_i + \mathrm{FFN}_{m(i)}(\bar x_i) \]

    with \(m(i)\) the modality of position i (markers are text) and \(\bar x\) normed. The norms have no weights: the
    matrices that follow hold each modality's gain. The time enters as in the dense block, on timed positions only.
    Every position meets as many weights as in a dense block of the same sizes.

    Where the text expert is frozen (with the vocabulary and the text's positions, by a stage's `freeze`), nothing
    that is learned on pictures can change what the model does with text alone.

    Shapes:
        hidden `(B, L, D)` to `(B, L, D)`.

    Args:
        num_heads: Attention heads; must divide the model width.
        mlp_ratio: Hidden width of each feed-forward over the model width, before the 2/3 of a gated unit.
        modalities: Those that have an expert; text is among them.
        dropout: Dropout on attention and feed-forward outputs.

    Raises:
        UsageError: If a modality is unknown or told twice, or text is missing.

    Reference:
        Shi et al., LlamaFusion: Adapting Pretrained Language Models for Multimodal Generation, 2024
            (arXiv 2412.15188).
        Liang et al., Mixture-of-Transformers: A Sparse and Scalable Architecture for Multi-Modal Foundation Models,
            2024 (arXiv 2411.04996).
    """

    def __init__(
        self,
        num_heads: int = 8,
        mlp_ratio: float = 4.0,
        *,
        modalities: Sequence[str] = ("text", "image"),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.mlp_ratio = mlp_ratio
        self.modalities: tuple[str, ...] = tuple(modalities)
        self.dropout = dropout
        known, distinct = set(MODALITIES), set(self.modalities)
        if not distinct <= known or len(distinct) < len(self.modalities) or "text" not in distinct:
            raise UsageError(
                f"experts_by_modality got the modalities {list(self.modalities)}; name text and others of "
                f"{', '.join(MODALITIES)}, each once."
            )

    def spawn(self) -> ExpertsByModalityBlock:
        """Return an unbuilt block with the same options."""
        return ExpertsByModalityBlock(
            self.num_heads, self.mlp_ratio, modalities=self.modalities, dropout=self.dropout
        )

    def build(self, dim: int, condition_dim: int) -> None:
        """Create each expert.

        Raises:
            UsageError: If the heads do not divide the width.
        """
        check_heads(self.num_heads, dim)
        self.experts = nn.ModuleDict({name: Expert(dim, self.mlp_ratio) for name in self.modalities})
        if condition_dim:
            self.modulation = modulation(condition_dim, dim)

    @property
    def active_parameters(self) -> int:
        """Parameters that one position meets."""
        own = sum(parameter.numel() for parameter in self.experts.parameters())
        return sum(parameter.numel() for parameter in self.parameters()) - own + own // len(self.modalities)

    def route(self, layout: Layout) -> Tensor:
        """Return the number of each position's expert, `(B, L)`."""
        numbers = [self.modalities.index(name) if name in self.modalities else -1 for name in MODALITIES]
        return torch.tensor(numbers, device=layout.modality.device)[layout.modality]

    def forward(
        self, hidden: Tensor, sequence: MultimodalSequence, cache: LayerCache | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the hidden states after attention and the experts' feed-forward; no auxiliary loss."""
        experts: list[Expert] = list(self.experts.values())  # type: ignore[arg-type]
        chosen = self.route(sequence.layout)
        options = {"num_heads": self.num_heads, "dropout": self.dropout}
        return run(self, experts, chosen, hidden, sequence, cache, **options), {}  # type: ignore[arg-type]
