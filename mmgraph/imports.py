"""The one gate for classes named in a file: what YAML, the command line and saved models may import.

A configuration is data, so naming a class must not become a way to run code. A path is judged before
anything is imported, then resolved step by step, and the class found must itself live in an allowed place
(`lightning.pytorch.utilities.os.system` starts well and ends badly). Only classes pass.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from mmgraph import registry
from mmgraph.errors import UsageError, nearest

ALLOWED = (
    "mmgraph",
    "torch.optim",
    "torch.nn",
    "lightning",
    "torchmetrics",
    "diffusers.schedulers",
    "torch_geometric.nn",
)
"""Packages whose classes may be named, beside those that own an entry point or were given with --plugins."""

_RUNS_CODE = {
    "os": "starts programs",
    "posix": "starts programs",
    "subprocess": "starts programs",
    "sys": "reaches every module",
    "shutil": "changes files",
    "importlib": "imports anything",
    "builtins": "reaches eval and exec",
    "pickle": "runs what it reads",
    "torch.load": "may run what it reads",
    "torch.serialization": "may run what it reads",
    "torch.hub": "downloads and runs code",
    "torch.utils.cpp_extension": "compiles and runs code",
}

_named: set[str] = set()
refused: list[RefusedImportError] = []
"""Refusals since the list was last cleared: a parser tries several readings and may drop the reason."""


class RefusedImportError(UsageError):
    """A class path that may not be imported, or that names no class."""

    def __init__(self, message: str, path: str = "") -> None:  # jsonargparse rebuilds errors from their text
        super().__init__(message)
        self.path = path


def allow(module: str) -> None:
    """Let classes of `module` be named; for modules that the user gives with `--plugins`."""
    _named.add(module)


def allowed() -> list[str]:
    """Return the packages and modules whose classes may be named."""
    return sorted({*ALLOWED, *registry.plugin_packages(), *_named})


def check(path: str) -> None:
    """Raise unless a dotted path starts in an allowed place. Imports nothing.

    Raises:
        RefusedImportError: Naming the path, the reason, and what is allowed.
    """
    if not isinstance(path, str) or not all(part.isidentifier() for part in path.split(".")):
        raise _refuse(path, f"'{path}' is not a dotted path to a class.")
    if not _is_allowed(path):
        raise _refuse(path, f"'{path}' may not be named in a configuration{_reason(path)}. {_offer()}")


def import_class(path: str) -> type:
    """Return the class that `path` names.

    Args:
        path: A dotted path such as `mmgraph.heads.flow` or `torch.optim.AdamW`.

    Raises:
        RefusedImportError: If the path or the place where the class is defined is not allowed, or if it is
            not a class.
        UnknownPluginError: If it names a plugin that is not installed; the message offers the nearest.
    """
    check(path)
    kind, _, name = path.removeprefix(registry.GROUP).partition(".")
    if path.startswith(registry.GROUP) and kind in registry.CLASS_KINDS and name in registry.names(kind):
        found = registry.load(kind, name)  # declared by its distribution, wherever it is defined
    else:
        found = _walk(path)
        home = getattr(found, "__module__", None) or ""
        if not isinstance(found, ModuleType) and not _is_allowed(home):
            raise _refuse(
                path, f"'{path}' leads to {home}, which may not be named{_reason(home)}. {_offer()}"
            )
    if not inspect.isclass(found):
        raise _refuse(path, f"'{path}' is a {type(found).__name__}, and only classes may be named.")
    return found


def _walk(path: str) -> Any:
    """Follow a path from its package, refusing to pass through a module that is not allowed."""
    parts = path.split(".")
    found: Any = importlib.import_module(parts[0])
    for count in range(1, len(parts)):
        before, here = ".".join(parts[:count]), ".".join(parts[: count + 1])
        try:
            found = getattr(found, parts[count])
        except AttributeError as error:
            if not isinstance(found, ModuleType) or not _has_submodule(found, here):
                raise _unknown(path, before, parts[count], found, error) from None
            found = importlib.import_module(here)
        if (
            isinstance(found, ModuleType)
            and not _is_allowed(found.__name__)
            and not _on_the_way(found.__name__)
        ):
            name = found.__name__
            raise _refuse(
                path, f"'{path}' leads through {name}, which may not be named{_reason(name)}. {_offer()}"
            )
    return found


def _unknown(path: str, before: str, name: str, place: Any, error: AttributeError) -> UsageError:
    kind = before.removeprefix(registry.GROUP)
    if before.startswith(registry.GROUP) and kind in registry.CLASS_KINDS:
        return _note(registry.UnknownPluginError(str(error)), path)
    known = [item for item in dir(place) if inspect.isclass(getattr(place, item, None))] if place else []
    close = nearest(name, known).split(" Known:")[0] if known else ""
    hint = f" {close}" if close.startswith("Did") else ""
    return _note(RefusedImportError(f"there is no '{name}' in {before}.{hint}", path), path)


def _has_submodule(package: ModuleType, name: str) -> bool:
    return hasattr(package, "__path__") and importlib.util.find_spec(name) is not None


def _is_allowed(path: str) -> bool:
    return any(path == prefix or path.startswith(prefix + ".") for prefix in allowed())


def _on_the_way(name: str) -> bool:
    """Whether a module is a parent of an allowed one, as torch is of torch.nn."""
    return any(prefix.startswith(name + ".") for prefix in allowed())


def _reason(path: str) -> str:
    for prefix, reason in _RUNS_CODE.items():
        if path == prefix or path.startswith(prefix + "."):
            return f": {prefix} {reason}"
    return ""


def _offer() -> str:
    return (
        f"Classes may come from {', '.join(allowed())}, and from a file or module given as "
        "'mmgraph --plugins FILE|MODULE ...'."
    )


def _refuse(path: str, message: str) -> RefusedImportError:
    error = RefusedImportError(message, str(path))
    refused.append(error)
    return error


def _note(error: Any, path: str) -> Any:
    error.path = path
    refused.append(error)
    return error


# -- jsonargparse -------------------------------------------------------------------------------------------


def guard_jsonargparse() -> None:
    """Make jsonargparse import through this gate, wherever a value names something to import.

    jsonargparse turns strings into objects in two functions, `_util.import_object` (class paths, callables,
    types, type expressions) and `_common.check_import_path` followed by an import (modules); its modules hold
    them under their own names, so the names are replaced in each. The public settings close the same door by
    path, in case a later version moves these functions; they alone would let functions through.

    Raises:
        RuntimeError: If jsonargparse has no such functions any more.
    """
    import jsonargparse
    from jsonargparse import _common, _util

    original = _util.import_object
    if getattr(original, "guarded", False):
        _allow_in_settings()
        return
    judge = _common.check_import_path

    def import_object(name: str, check_path: bool = True) -> Any:
        # a value without a dot is not a path: jsonargparse is only trying this reading of it
        if not check_path or not isinstance(name, str) or "." not in name:
            return original(name, check_path)
        return import_class(name)

    import_object.guarded = True  # type: ignore[attr-defined]
    replaced = 0
    for module in list(_modules("jsonargparse")):
        for attribute, function in (("import_object", import_object), ("check_import_path", check)):
            if getattr(module, attribute, None) in (original, judge):
                setattr(module, attribute, function)
                replaced += 1
    if replaced < 8:
        raise RuntimeError(
            f"jsonargparse {jsonargparse.__version__} imports named classes in a way that mmgraph does not "
            "know; install a version that mmgraph's pyproject.toml allows."
        )
    jsonargparse.set_parsing_settings(
        import_path_denylist=["*"],
        # a dictionary that looks like a class is kept as data where any type is accepted
        instantiate_subclass_spec_in_any=False,
    )
    _allow_in_settings()


def _allow_in_settings() -> None:
    import jsonargparse

    jsonargparse.set_parsing_settings(import_path_allowlist=allowed())


def _modules(package: str) -> Iterator[ModuleType]:
    for name, module in sys.modules.items():
        if name == package or name.startswith(package + "."):
            yield module
