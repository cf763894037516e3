"""How a suite runs: each check is one promise of the contract, and a broken one says how to mend it."""

from __future__ import annotations

import importlib
import inspect
import random
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy
import torch
import yaml
from torch import nn

from mmgraph.configured import Configured, config_of, instantiate
from mmgraph.errors import UsageError, nearest

_MMGRAPH = Path(__file__).resolve().parent.parent

SUITES = (
    "blocks",
    "connectors",
    "datasets",
    "denoisers",
    "graph_encoders",
    "graph_injectors",
    "graph_samplers",
    "heads",
    "metrics",
    "processors",
    "tokenizers",
)
"""Kinds of plugins that have a suite."""


@dataclass(frozen=True)
class Check:
    """One promise of a contract, and what is wrong with it (None: it is kept).

    `tried` is False where nothing could be tried, because the class needs options that nobody gave.
    """

    name: str
    error: str | None = None
    tried: bool = True

    def __iter__(self) -> Iterator[str | None]:
        return iter((self.name, self.error))


class BrokenPromiseError(AssertionError):
    """A promise that is not kept; the message says what was expected, what came, and what to do."""


def expect(condition: object, message: str) -> None:
    """Raise `BrokenPromiseError` with the message unless the condition holds."""
    if not bool(condition):
        raise BrokenPromiseError(message)


def check(
    kind: str,
    cls: type,
    *,
    make: Callable[[], Any] | None = None,
    contents: Sequence[Any] | None = None,
) -> list[Check]:
    """Hold a plugin's class to the contract of its kind.

    Args:
        kind: One of `SUITES`.
        cls: The class.
        make: Gives a fresh, unbuilt and unfitted instance; None: the class without arguments.
        contents: What a tokenizer is fitted on and tried with; None: generated texts or pictures.

    Returns:
        Every check, in the order of the contract.

    Raises:
        UsageError: If the kind has no suite.
    """
    if kind not in SUITES:
        raise UsageError(f"there is no conformance suite for '{kind}'. {nearest(kind, SUITES)}")
    suite = importlib.import_module(f"mmgraph.testing.{kind}").SUITE(cls, make, contents)
    return suite.run()


def assert_conforms(
    kind: str,
    cls: type,
    make: Callable[[], Any] | None = None,
    *,
    contents: Sequence[Any] | None = None,
) -> None:
    """Raise an AssertionError that lists every promise of the contract which the class breaks.

    Args:
        kind: As in `check`.
        cls: As in `check`.
        make: As in `check`.
        contents: As in `check`.
    """
    checks = check(kind, cls, make=make, contents=contents)
    broken = [found for found in checks if found.error is not None or not found.tried]
    if broken:
        lines = "\n".join(f"- {found.name}: {found.error or 'pass make='}" for found in broken)
        raise AssertionError(f"{cls.__name__} breaks the contract of mmgraph.{kind}:\n{lines}")


class Suite:
    """The checks of one kind: every method called `check_...`, named by its docstring.

    Args:
        cls: The class under test.
        make: Gives a fresh instance; None: the class without arguments.
        contents: For suites that try contents.
    """

    contract: ClassVar[type]
    """What the class must derive from."""

    def __init__(
        self, cls: type, make: Callable[[], Any] | None = None, contents: Sequence[Any] | None = None
    ) -> None:
        self.cls = cls
        self.make = make or cls
        self.needs = () if make is not None else _required(cls)
        self.contents = contents

    def run(self) -> list[Check]:
        """Run every check from the same random state, and leave the caller's as it was."""
        first = [self._run("derives from the contract", self._derives)]
        if first[0].error is not None:
            return first  # nothing else can be tried
        if self.needs:
            told = f"not tried: {', '.join(self.needs)} must be given, as in assert_conforms(..., make=...)"
            return [*first, self._run(_name(self.check_options), self.check_options), Check(told, tried=False)]
        first.append(self._run("can be made", self._can_be_made))
        if first[-1].error is not None:
            return first
        methods = [
            name
            for owner in reversed(type(self).__mro__)
            for name in vars(owner)
            if name.startswith("check_")
        ]
        checks = [getattr(self, name) for name in dict.fromkeys(methods)]
        return first + _without_repeats([self._run(_name(method), method) for method in checks])

    def _run(self, name: str, method: Callable[[], None]) -> Check:
        state, more = random.getstate(), numpy.random.get_state()
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                method()
        except BrokenPromiseError as error:
            return Check(name.rstrip("."), str(error))
        except Exception as error:
            return Check(name.rstrip("."), f"{type(error).__name__}: {error}{_place(error)}")
        finally:
            random.setstate(state)
            numpy.random.set_state(more)
        return Check(name.rstrip("."))

    def _derives(self) -> None:
        name = f"{self.contract.__module__}.{self.contract.__qualname__}"
        derived = inspect.isclass(self.cls) and issubclass(self.cls, self.contract)
        expect(derived, f"{self.cls!r} must be a class derived from {name}.")
        missing = sorted(getattr(self.cls, "__abstractmethods__", ()))
        expect(not missing, f"{self.cls.__name__} lacks {', '.join(missing)}; give them.")

    def _can_be_made(self) -> None:
        made = self.make()
        expect(isinstance(made, self.cls), f"`make` gave a {type(made).__name__}, not a {self.cls.__name__}.")
        ready = not isinstance(made, nn.Module) or "_modules" in vars(made)
        expect(ready, f"{self.cls.__name__}.__init__ does not call super().__init__(); call it first.")

    # -- what every kind promises ---------------------------------------------------------------------------

    def check_options(self) -> None:
        """Options are named, typed and documented: help, comments in YAML and the site are made of them."""
        expect(
            self.cls.__doc__, f"{self.cls.__name__} has no docstring; one sentence and `Args:` make its help."
        )
        for option in list(inspect.signature(self.cls).parameters.values()):
            expect(
                option.kind not in (option.VAR_POSITIONAL, option.VAR_KEYWORD),
                f"the constructor takes {option}; name each option, or YAML cannot check it.",
            )
            expect(
                option.annotation is not option.empty,
                f"the option `{option.name}` has no type; annotate it, so that YAML values are checked.",
            )

    def check_configuration(self) -> None:
        """The configuration it was made from, written as YAML, makes it again."""
        if not issubclass(self.cls, Configured):
            return
        first = config_of(self.make())
        text = yaml.safe_load(yaml.safe_dump(first))
        expect(text == first, f"its options do not survive YAML: {first} became {text}; use plain values.")
        again = self.cls(**{name: instantiate(value) for name, value in text["init_args"].items()})
        second = config_of(again)
        expect(second == first, f"made again from {first}, its configuration is {second}.")


def _place(error: BaseException) -> str:
    """Return where the plugin's own code was when it failed; nothing if only the suite and libraries were."""
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not Path(frame.filename).is_relative_to(_MMGRAPH) and "site-packages" not in Path(frame.filename).parts
    ]
    return f" ({Path(own[-1].filename).name} line {own[-1].lineno}, in {own[-1].name})" if own else ""


def _without_repeats(checks: Sequence[Check]) -> list[Check]:
    """Return the checks, the text of an error only where it comes first: one mistake breaks many promises."""
    seen: set[str] = set()
    told = []
    for found in checks:
        repeated = found.error is not None and found.error in seen
        seen.add(found.error or "")
        told.append(replace(found, error="the same error as above") if repeated else found)
    return told


def _name(check: Callable[[], None]) -> str:
    return inspect.getdoc(check) or check.__name__


def _required(cls: type) -> tuple[str, ...]:
    if not inspect.isclass(cls):
        return ()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    options = inspect.signature(cls).parameters.values()
    return tuple(o.name for o in options if o.default is o.empty and o.kind in named)


@contextmanager
def no_global_randomness(what: str) -> Iterator[None]:
    """Raise if `what` draws from a global random state: its result would then depend on what ran before."""
    before = torch.get_rng_state(), random.getstate(), _numpy_state()
    yield
    after = torch.get_rng_state(), random.getstate(), _numpy_state()
    same = torch.equal(before[0], after[0]), before[1] == after[1], before[2] == after[2]
    sources = [name for name, kept in zip(("torch's", "Python's", "numpy's"), same, strict=True) if not kept]
    expect(
        not sources,
        f"{what} draws from {' and '.join(sources)} global random state; draw from what it is given instead.",
    )


def _numpy_state() -> str:
    return str(numpy.random.get_state(legacy=False))


def equal(left: Any, right: Any) -> bool:
    """Whether two results (tensors, or lists of them) are the same, bit by bit."""
    if isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
        return left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(map(equal, left, right))
    return type(left) is type(right) and bool(left == right)


def close(left: torch.Tensor, right: torch.Tensor, tolerance: float = 1e-5) -> bool:
    """Whether two tensors are the same up to rounding, relative to their size."""
    if left.shape != right.shape:
        return False
    size = max(1.0, float(right.detach().abs().max())) if right.numel() else 1.0
    return bool(torch.allclose(left.double(), right.double(), rtol=0, atol=tolerance * size))


def stir(module: nn.Module, seed: int = 0) -> None:
    """Move every parameter away from its start: layers that start at zero would hide what they do."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator).to(parameter))
