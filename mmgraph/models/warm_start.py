"""Starting from the weights of other runs, part by part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import yaml
from torch import Tensor, nn

from mmgraph.errors import UsageError
from mmgraph.imports import import_class
from mmgraph.models.saving import CONFIG, resolve, state_of
from mmgraph.models.stages import pattern

GROWS = ("vocabulary.embedding.weight", "vocabulary.output.weight")
"""Tables whose first rows may come from a model that knew fewer codes."""


@dataclass(frozen=True)
class StartFrom:
    """Weights to start from.

    Args:
        weights: `zoo:NAME` or `run:DIR`.
        part: What is filled, a name like `blocks` or `blocks.*.inner`; `*` is the whole model.
        source: The part of the other model, where its name differs (`blocks.*`); None: the same name.
    """

    weights: str
    part: str = "*"
    source: str | None = None

    def select(self, names: Sequence[str]) -> dict[str, str]:
        """Return the other model's name for each of this model's `names` that is to be filled."""
        if self.part == "*":
            return {name: name for name in names}
        covers = pattern(self.part)
        found: dict[str, str] = {}
        for name in names:
            match = covers.fullmatch(name)
            if match is None:
                continue
            *stars, rest = match.groups()
            source = self.source if self.source is not None else self.part
            for star in stars:
                source = source.replace("*", star, 1)
            found[name] = source + (rest or "")
        return found


def start_tokenizers(tokenizers: nn.ModuleDict, starts: Sequence[StartFrom]) -> None:
    """Load the fitted state of tokenizers before anything takes its size from it."""
    for start in starts:
        state = state_of(start.weights)
        for name, tokenizer in tokenizers.items():
            own = start.select([f"tokenizers.{name}.{key}" for key in tokenizer.state_dict()])
            found = {key.split(".", 2)[2]: state[source] for key, source in own.items() if source in state}
            if found:
                tokenizer.load_state_dict({**tokenizer.state_dict(), **found})


def start(module: nn.Module, starts: Sequence[StartFrom]) -> None:
    """Copy the weights of other models into a built one.

    Raises:
        UsageError: If a part finds nothing, or a tensor has another shape there.
    """
    own = module.state_dict()
    for origin in starts:
        state = state_of(origin.weights)
        pairs = {name: source for name, source in origin.select(list(own)).items() if source in state}
        if not pairs:
            raise UsageError(
                f"start_from: {origin.weights} has nothing called like '{origin.source or origin.part}' of this model; "
                f"it has {', '.join(sorted({name.split('.')[0] for name in state}))}."
            )
        if any(name in GROWS for name in pairs):
            _check_order(module, origin.weights)
        for name, source in pairs.items():
            _copy(own[name], state[source], name, origin.weights)


def _check_order(module: nn.Module, origin: str) -> None:
    """Refuse a vocabulary whose codes would change their meaning: those of the other model come first."""
    config = yaml.safe_load((resolve(origin) / CONFIG).read_text(encoding="utf-8"))
    theirs = (config.get("init_args") or {}).get("tokenizers") or {}
    ours = list(module.vocabulary.sizes)  # type: ignore[union-attr, arg-type]
    shared = [name for name in ours if name in theirs and _is_discrete(theirs[name]["class_path"])]
    if ours[: len(shared)] != shared:
        raise UsageError(
            f"start_from: {origin} knows the codes of {', '.join(shared)}; name those tokenizers first, new ones after "
            f"them (here: {', '.join(ours)})."
        )


def _is_discrete(name: str) -> bool:
    return bool(getattr(import_class(name), "discrete", False))


@torch.no_grad()
def _copy(into: Tensor, given: Tensor, name: str, origin: str) -> None:
    grows = name in GROWS and given.ndim == into.ndim and given.shape[1:] == into.shape[1:] and len(given) < len(into)
    if grows:
        into = into[: len(given)]
    if into.shape != given.shape:
        raise UsageError(
            f"start_from: {name} is {tuple(into.shape)} here and {tuple(given.shape)} in {origin}; use the sizes of "
            "that run, or name the parts to start from with `part`."
        )
    into.copy_(given)
