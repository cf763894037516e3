"""What a model and a step cost: parameters, operations, memory; measured on a real step, not estimated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from mmgraph.models.sizes import active_parameters
from mmgraph.models.unified import UnifiedModel
from mmgraph.sequence import Sample

_HEAVY = ("mm", "matmul", "attention", "conv", "einsum", "linear")
"""Parts of the names of operations that do the bulk of the work."""


@dataclass(frozen=True)
class Part:
    """One part of the model and its parameters."""

    name: str
    kind: str
    total: int
    trained: int
    buffers: int


@dataclass(frozen=True)
class Costs:
    """What was measured.

    Args:
        parts: Parameters, part by part.
        active: Parameters that one position may use in a forward pass.
        forward: Floating-point operations of the forward pass of one batch.
        backward: Those of its backward pass.
        attention: How many of both are attention (scores and mixing), without the projections.
        picture: Those of one generated picture; None if the model draws none.
        picture_settings: How it was drawn.
        activations: Bytes that the forward pass keeps for the backward pass.
        uncounted: Heavy operations that have no formula and so are missing from the numbers.
    """

    parts: tuple[Part, ...]
    active: int
    forward: int
    backward: int
    attention: int
    picture: int | None
    picture_settings: str
    activations: int
    uncounted: tuple[str, ...] = field(default=())

    @property
    def total(self) -> int:
        """Parameters of all parts."""
        return sum(part.total for part in self.parts)

    @property
    def trained(self) -> int:
        """Those that are trained."""
        return sum(part.trained for part in self.parts)


def measure(model: UnifiedModel, batch: Sequence[Sample], examples: Sequence[Sample]) -> Costs:
    """Run one training step without an update, and one drawing, and count.

    Args:
        model: A built model; its weights and gradients are left as they were.
        batch: What the step reads.
        examples: Where a sample that ends with a picture is looked for, to be drawn.
    """
    was_training = model.training
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.train()
    names = _OperationNames()
    with torch.random.fork_rng(), names:
        forward, backward, activations = _step(model, batch)
        model.zero_grad(set_to_none=True)
        for name, parameter in model.named_parameters():
            parameter.grad = gradients[name]
        picture, settings = _drawing(model, examples)
    model.train(was_training)
    uncounted = [name for name in names.seen if any(part in name for part in _HEAVY) and name not in _counted()]
    both = [*forward.items(), *backward.items()]
    return Costs(
        parts=tuple(parts(model)),
        active=active_parameters(model),
        forward=sum(forward.values()),
        backward=sum(backward.values()),
        attention=sum(count for name, count in both if "attention" in name),
        picture=picture,
        picture_settings=settings,
        activations=activations,
        uncounted=tuple(sorted(uncounted)),
    )


def parts(model: UnifiedModel) -> list[Part]:
    """Return the model's parts: each tokenizer, connector and head by itself, all blocks as one."""
    found = []
    for name, child in model.named_children():
        if isinstance(child, nn.ModuleDict):
            found += [_part(f"{name}.{key}", part) for key, part in child.items()]
        elif isinstance(child, nn.ModuleList):
            kinds = ", ".join(dict.fromkeys(type(part).__name__ for part in child))
            found.append(_part(name, child, f"{len(child)} x {kinds}"))
        else:
            found.append(_part(name, child))
    return found


def _part(name: str, module: nn.Module, kind: str | None = None) -> Part:
    parameters = list(module.parameters())
    return Part(
        name,
        kind or type(module).__name__,
        sum(parameter.numel() for parameter in parameters),
        sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        sum(buffer.numel() for buffer in module.buffers()),
    )


def _step(model: UnifiedModel, batch: Sequence[Sample]) -> tuple[dict[str, int], dict[str, int], int]:
    """Return the operations of the forward and of the backward pass by name, and the bytes kept between."""
    assembly = model.assemble(batch, training=True)
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with (
        FlopCounterMode(display=False) as forward,
        torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept),
    ):
        found, auxiliary = model.losses(assembly)
        terms = [total / count.clamp_min(1) for total, count in found.values()]
        loss = torch.stack([*terms, *auxiliary.values()]).sum()
    activations = sum(kept.values())
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    return _by_name(forward), _by_name(backward), activations


def _by_name(counter: FlopCounterMode) -> dict[str, int]:
    return {str(operation): count for operation, count in counter.get_flop_counts()["Global"].items()}


def _drawing(model: UnifiedModel, examples: Sequence[Sample]) -> tuple[int | None, str]:
    """Draw one picture and return its operations, and the steps and guidance it was drawn with."""
    from mmgraph import generation

    for sample in examples:
        last = sample.segments[-1]
        spans = model.spans(sample, True)
        if last.modality == "image" and last.target and spans and spans[-1].head is not None:
            break
    else:
        return None, ""
    opened = replace(sample, segments=(*sample.segments[:-1], replace(last, content=None)))
    with FlopCounterMode(display=False) as counter:
        for _ in generation.paint(model, [opened]):
            pass
    sampling = model.sampling
    return counter.get_total_flops(), f"{sampling.num_steps} steps, guidance {sampling.guidance:g}"


def _counted() -> set[str]:
    return {_short(operation) for operation in flop_registry}


def _short(operation: Any) -> str:
    return str(operation).split(".")[1] if "." in str(operation) else str(operation)


class _OperationNames(TorchDispatchMode):
    """Collects the names of all operations that run."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.add(_short(func))
        return func(*args, **(kwargs or {}))
