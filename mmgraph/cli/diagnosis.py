"""Say what is wrong with a configuration: which key, where it was written, what would fit.

jsonargparse reports a wrong key or value from inside out and often blames the class above it. Here the
files and the command line are walked as they were written, with the parser of each class at hand.
"""

from __future__ import annotations

import json
import re
from argparse import ArgumentError
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from jsonargparse import ArgumentParser, Namespace
from jsonargparse._common import parser_context

from mmgraph import imports
from mmgraph.errors import UsageError, nearest


@dataclass(frozen=True)
class Source:
    """One place that gives configuration.

    Args:
        name: How messages call it.
        values: What it says, nested.
    """

    name: str
    values: dict[str, Any]


def command_line(argv: list[str]) -> dict[str, Any]:
    """Return the overrides of a command line as nested dictionaries."""
    values: dict[str, Any] = {}
    position = 0
    while position < len(argv):
        arg = argv[position]
        position += 1
        if arg == "-c":
            position += 1
            continue
        if not arg.startswith("--"):
            continue
        key, equals, text = arg[2:].partition("=")
        if not equals:
            if position < len(argv) and not argv[position].startswith("--"):
                text = argv[position]
                position += 1
            else:
                text = "true"
        if key.startswith("print_") or key == "help" or key.endswith(".help"):
            continue
        _put(values, key.rstrip("+").split("."), _parsed(text))
    return values


def _parsed(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _put(values: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        inner = values.get(part)
        if isinstance(inner, str) and "." in inner:  # --data CLASS, then --data.batch_size N
            inner = {"class_path": inner}
        if not isinstance(inner, dict):
            inner = {}
        values[part] = inner
        values = inner
    values[path[-1]] = value


class Diagnosis:
    """What a parser thinks of some sources.

    Args:
        parser: The parser of the whole configuration.
        sources: In the order in which they are applied.
        flags: Flags of the command that are no configuration, for offering the nearest.
    """

    def __init__(self, parser: ArgumentParser, sources: list[Source], flags: Sequence[str] = ()) -> None:
        self.parser = parser
        self.flags = list(flags)
        self.sources = sources
        self._classes: dict[str, str] = {}  # key -> class_path, as the sources say it so far
        self._parsers: dict[type, ArgumentParser] = {}

    def check(self) -> None:
        """Refuse what the parser would let pass: unknown empty keys, and class paths where it expects data.

        Raises:
            UsageError: Naming the key and the place.
        """
        for source in self.sources:
            for name in source.values:
                if name not in _top(self.parser):
                    raise UsageError(self._unknown(self.parser, name, "", source))
            for key, path in _class_paths(source.values):
                try:
                    imports.check(path) if "." in path else None
                except UsageError as error:
                    raise UsageError(f"{key} in {source.name}: {error}") from None

    def explain(self, error: Exception) -> str:
        """Return the message for a failed parse."""
        self._classes = {}
        for source in self.sources:
            found = self._walk(self.parser, source.values, "", source)
            if found:
                return found
        for refused in imports.refused:
            return str(refused)
        return _readable(str(error))

    def reference(self, error: Exception) -> str:
        """Return the message for a `${...}` that leads nowhere."""
        key = getattr(error, "full_key", None)
        for source in self.sources:
            for name, text in _leaves(source.values):
                if isinstance(text, str) and "${" in text and (key is None or name == key or name.endswith(f".{key}")):
                    return (
                        f"{name} in {source.name}: '{text}' cannot be resolved. References name a key from "
                        "the top, as ${model.init_args.dim}, and stand in a file, not on the command line."
                    )
        return f"a reference ${{...}} cannot be resolved: {str(error).splitlines()[0]}"

    def dropped(self, config: Namespace) -> list[str]:
        """Return a line for each option that was given and is gone because its class was exchanged."""
        final = _plain(config)
        lines = []
        for source in self.sources:
            for key, value in _leaves(source.values):
                if ".init_args." in key and not _has(final, key.split(".")):
                    owner = key.rpartition(".init_args.")[0]
                    now = _get(final, [*owner.split("."), "class_path"])
                    if now is not None:
                        lines.append(f"{key} = {_short(value)} ({source.name}) is dropped: {now} has no such option.")
        return lines

    def _parser_of(self, found: type) -> ArgumentParser:
        if found not in self._parsers:
            parser = type(self.parser)(exit_on_error=False, parser_mode=self.parser.parser_mode)
            parser.add_class_arguments(found, fail_untyped=False)
            self._parsers[found] = parser
        return self._parsers[found]

    # -- the walk ------------------------------------------------------------------------------------------

    def _walk(self, parser: ArgumentParser, values: Mapping[str, Any], prefix: str, source: Source) -> str | None:
        for name, value in values.items():
            found = self._entry(parser, str(name), value, prefix, source)
            if found:
                return found
        return None

    def _entry(self, parser: ArgumentParser, dest: str, value: Any, prefix: str, source: Source) -> str | None:
        key = prefix + dest
        action = next((own for own in parser._actions if own.dest == dest), None)
        group = [own for own in _destinations(parser) if own.startswith(dest + ".")]
        if action is None and not group:
            return self._unknown(parser, dest, prefix, source)
        if isinstance(value, Mapping) and group:
            for name, inner in value.items():
                found = self._entry(parser, f"{dest}.{name}", inner, prefix, source)
                if found:
                    return found
            return None
        if action is None:
            return None
        inside = self._inside(value, key, source)
        return inside or self._type(parser, action, dest, value, prefix, source)

    def _inside(self, value: Any, key: str, source: Source) -> str | None:
        """Look into classes, and into lists and dictionaries of them."""
        if isinstance(value, str) and key in self._classes and "." in value:
            value = {"class_path": value}
        if isinstance(value, list):
            items: Any = enumerate(value)
        elif isinstance(value, Mapping) and ("class_path" in value or key in self._classes):
            return self._class(value, key, source)
        elif isinstance(value, Mapping):
            items = value.items()
        else:
            return None
        for name, item in items:
            found = self._inside(item, f"{key}.{name}", source)
            if found:
                return found
        return None

    def _class(self, value: Mapping[str, Any], key: str, source: Source) -> str | None:
        path = value.get("class_path", self._classes.get(key))
        if not isinstance(path, str):
            return f"{key}.class_path in {source.name} must be a dotted path, not {_short(path)}."
        if "." not in path:
            return None
        try:
            found = imports.import_class(path)
        except UsageError as error:
            return f"{key} in {source.name}: {error}"
        except ImportError as error:
            return f"{key} in {source.name}: {path} cannot be imported: {error}"
        self._classes[key] = path
        parser = self._parser_of(found)
        given = value.get("init_args", {})
        extra = [name for name in value if name not in ("class_path", "init_args", "dict_kwargs")]
        if "class_path" in value and extra:
            return (
                f"unknown key '{extra[0]}' in {key} ({source.name}): options of {path} go under init_args. "
                f"{nearest(extra[0], _destinations(parser))}"
            )
        if "class_path" not in value and extra:
            given = {name: value[name] for name in extra} | dict(given)
        return self._walk(parser, given or {}, f"{key}.init_args.", source)

    def _unknown(self, parser: ArgumentParser, dest: str, prefix: str, source: Source) -> str:
        head, _, name = dest.rpartition(".")
        known = [own for own in _destinations(parser) if own.rpartition(".")[0] == head] if head else None
        names = [own.rpartition(".")[2] for own in known or []] if head else _top(parser)
        if not head and not prefix:
            names = names + self.flags
        place = (prefix + head).rstrip(".")
        owner = self._classes.get(prefix.removesuffix(".init_args."))
        where = f" in {place}" if place else ""
        where += f" ({owner})" if owner else ""
        return f"unknown key '{name}'{where}, from {source.name}. {nearest(name, names)}"

    def _type(
        self, parser: ArgumentParser, action: Any, dest: str, value: Any, prefix: str, source: Source
    ) -> str | None:
        if _partial(value) or any(isinstance(leaf, str) and "${" in leaf for _, leaf in _leaves(value)):
            return None
        try:
            with parser_context(parent_parser=parser, lenient_check=False, load_value_mode=parser.parser_mode):
                parser._check_value_key(action, value, dest, Namespace())
        except (ArgumentError, TypeError, ValueError) as error:
            return f"{prefix}{dest} in {source.name}: {_readable(str(error))}"
        return None


def _partial(value: Any) -> bool:
    """Whether a value overrides parts of a class given before, so that it says nothing by itself."""
    if isinstance(value, Mapping):
        inner = list(value.values())
        return ("class_path" not in value and "init_args" in value) or any(map(_partial, inner))
    return isinstance(value, list) and any(map(_partial, value))


def _destinations(parser: ArgumentParser) -> list[str]:
    hidden = ("help", "config", "print_config", "print_completion")
    return [
        action.dest
        for action in parser._actions
        if action.dest and action.dest not in hidden and not action.dest.endswith(".help")
    ]


def _top(parser: ArgumentParser) -> list[str]:
    return sorted({dest.partition(".")[0] for dest in _destinations(parser)})


def _class_paths(values: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(values, Mapping):
        path = values.get("class_path")
        if isinstance(path, str):
            yield key, path
        for name, value in values.items():
            yield from _class_paths(value, f"{key}.{name}".lstrip("."))
    elif isinstance(values, list):
        for number, value in enumerate(values):
            yield from _class_paths(value, f"{key}.{number}")


def _leaves(values: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(values, Mapping) and values:
        for name, value in values.items():
            yield from _leaves(value, f"{key}.{name}".lstrip("."))
    else:
        yield key, values


def _plain(value: Any) -> Any:
    if isinstance(value, Namespace):
        return {name: _plain(item) for name, item in vars(value).items()}
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return value


def _get(values: Any, path: list[str]) -> Any:
    for part in path:
        if not isinstance(values, Mapping) or part not in values:
            return None
        values = values[part]
    return values


def _has(values: Any, path: list[str]) -> bool:
    holder = _get(values, path[:-1])
    return not isinstance(holder, Mapping) or path[-1] in holder


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _readable(message: str) -> str:
    """Cut jsonargparse's nested message down to the keys and the innermost reason."""
    keys = re.findall(r'[Pp]arser key "([^"]+)":', message)
    lines = [line.strip(" -") for line in message.splitlines()]
    skip = (
        "Parser key",
        "Given value",
        "Subtypes:",
        "Errors:",
        "Does not validate",
        "Expected a <class 'NoneType'>",
    )
    telling = [
        line for line in lines if line and not line.startswith(skip) and "Problem with given class_path" not in line
    ]
    telling = [line for line in telling if not line.startswith("Expected a path but")] or telling
    reason = telling[0] if telling else " ".join(message.split())
    reason = re.sub(r"<class '(?:[\w.]*\.)?(\w+)'>", r"\1", reason)
    return f"{'.'.join(keys)}: {reason}" if len(keys) > 1 or (keys and "." in keys[0]) else reason
