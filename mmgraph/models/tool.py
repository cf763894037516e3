"""Another model as a tool: this one writes what it wants in words, that one draws it (Visual ChatGPT)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from mmgraph.configured import Configured
from mmgraph.errors import UsageError


class Tool(Configured, nn.Module):
    """A saved model that draws for another; it is frozen, and all it is told is a text.

    A model saved with a tool carries the tool along.

    Args:
        weights: The model, `run:DIR` or `zoo:NAME`; `none` where `model` is given.
        model: The model itself: what the configuration of a saved model says in the place of `weights`.

    Raises:
        UsageError: If there is no model, or one that cannot draw.

    Reference:
        Wu et al., Visual ChatGPT: Talking, Drawing and Editing with Visual Foundation Models, 2023 (arXiv 2303.04671).
    """

    def __init__(self, weights: str = "none", *, model: nn.Module | None = None) -> None:
        super().__init__()
        if model is None:
            if weights == "none":
                raise UsageError("a tool is a saved model: give its weights, run:DIR or zoo:NAME.")
            from mmgraph.models.saving import load

            model = load(weights)
            self.remember(weights="none", model=model)
        heads: Mapping[str, Any] = getattr(model, "heads", {})
        if not {*heads} - {"text"}:
            what = type(model).__name__ if weights == "none" else weights
            raise UsageError(f"the tool {what} has no head that draws; name a model that can.")
        self.model: Any = model
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Tool:
        """Leave the tool as it is: it never learns."""
        return super().train(False)

    def _load_from_state_dict(self, state_dict: Mapping[str, Tensor], prefix: str, *rest: Any) -> None:
        if not self.model.built:  # the sizes of everything follow from the fitted state of its tokenizers
            start = f"{prefix}model."
            self.model.load_tokenizers({k[len(start) :]: v for k, v in state_dict.items() if k.startswith(start)})
            self.requires_grad_(False)
        super()._load_from_state_dict(state_dict, prefix, *rest)
