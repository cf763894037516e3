"""Objects that remember how they were made, so that a built model is one configuration.

`config_of(model)` gives the `class_path` / `init_args` tree that YAML would hold; `instantiate` builds it
again, importing only what the allowlist permits.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from mmgraph import registry
from mmgraph.errors import UsageError


class Configured:
    """Mixin that records the arguments of the outermost constructor."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in cls.__dict__:
            cls.__init__ = _recording(cls.__init__)  # type: ignore[method-assign]

    def remember(self, **arguments: Any) -> None:
        """Record other values of constructor arguments: what was read from a file that will not travel along."""
        self.__dict__["_arguments"].update(arguments)


def _recording(init: Callable[..., None]) -> Callable[..., None]:
    signature = inspect.signature(init)

    @functools.wraps(init)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> None:
        if "_arguments" not in self.__dict__:
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            # nn.Module refuses attributes before its own __init__ ran; a plain dict is not one of its modules
            object.__setattr__(self, "_arguments", dict(list(bound.arguments.items())[1:]))
        init(self, *args, **kwargs)

    return wrapper


def class_path(cls: type) -> str:
    """Return the name YAML gives a class: its alias where it has one."""
    target = f"{cls.__module__}:{cls.__qualname__}"
    for kind in registry.CLASS_KINDS:
        for entry in registry.declared(kind):
            if entry.target == target:
                return f"mmgraph.{kind}.{entry.name}"
    if cls.__module__.startswith("mmgraph.models."):
        return f"mmgraph.models.{cls.__qualname__}"
    return f"{cls.__module__}.{cls.__qualname__}"


def config_of(value: Any) -> Any:
    """Return the plain configuration (dicts, lists, numbers, strings) that builds `value` again.

    Raises:
        UsageError: If some part does not know how it was made.
    """
    if isinstance(value, Configured):
        arguments = value.__dict__.get("_arguments", {})
        return {
            "class_path": class_path(type(value)),
            "init_args": {name: config_of(argument) for name, argument in arguments.items()},
        }
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: config_of(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"class_path": class_path(type(value)), "init_args": fields}
    if isinstance(value, Mapping):
        return {str(key): config_of(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [config_of(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise UsageError(
        f"a {type(value).__module__}.{type(value).__qualname__} cannot be written into a configuration; "
        "derive it from the contract of its kind, whose classes record their arguments."
    )


def instantiate(config: Any) -> Any:
    """Build what `config_of` described, or what a recipe says: groups of options may be plain mappings there.

    Raises:
        UsageError: If a class may not be imported or does not take an argument.
    """
    from mmgraph.imports import import_class

    if isinstance(config, Mapping) and "class_path" in config:
        cls = import_class(config["class_path"])
        arguments = {name: instantiate(value) for name, value in (config.get("init_args") or {}).items()}
        hints = _hints(cls)
        arguments = {name: _of(hints.get(name), value) for name, value in arguments.items()}
        try:
            return cls(**arguments)
        except TypeError as error:
            raise UsageError(
                f"{config['class_path']} cannot be built from its configuration: {error}"
            ) from error
    if isinstance(config, Mapping):
        return {key: instantiate(value) for key, value in config.items()}
    if isinstance(config, list):
        return [instantiate(value) for value in config]
    return config


def _hints(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls.__init__)  # type: ignore[misc]
    except NameError:  # a name that is there for type checkers only
        return {}


def _of(hint: Any, value: Any) -> Any:
    """Return a value as its annotation wants it: a mapping where a dataclass stands becomes one."""
    if isinstance(value, list):
        items = next((typing.get_args(one) for one in _members(hint) if typing.get_origin(one) is list), ())
        return [_of(items[0], item) for item in value] if items else value
    if isinstance(value, Mapping):
        named = next((typing.get_args(one) for one in _members(hint) if typing.get_origin(one) in (dict, Mapping)), ())
        if named:
            return {key: _of(named[1], item) for key, item in value.items()}
    wanted = next((one for one in _members(hint) if isinstance(one, type) and dataclasses.is_dataclass(one)), None)
    if wanted is None or not isinstance(value, Mapping):
        return value
    try:
        return wanted(**value)
    except TypeError as error:
        raise UsageError(f"{class_path(wanted)} cannot be built from its configuration: {error}") from error


def _members(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
