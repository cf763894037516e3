"""The command line: reads the verb, runs it, and turns every failure into one message and an exit status.

Nothing here imports torch, so `mmgraph --help`, `recipes` and `plugins list` answer at once; each verb
imports what it needs when it is called.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Sequence

from mmgraph import __version__
from mmgraph.errors import RunError, UsageError, nearest

VERBS = {
    "quickstart": ("quickstart", "train the recipe 'transfusion' on emoji, evaluate it, write the report"),
    "fit": ("training", "train a recipe or a configuration file"),
    "validate": ("training", "score a run on the validation split"),
    "test": ("training", "score a run on the test split"),
    "predict": ("training", "run a model over the test split"),
    "evaluate": (
        "evaluate",
        "score a run's drawing, naming and answering; write metrics.json and report.html",
    ),
    "generate": ("generate", "draw pictures for captions"),
    "ask": ("ask", "answer a question about a picture, or name it"),
    "demo": ("demo", "open a local page to draw and ask with a trained run"),
    "inspect": (
        "inspection",
        "show one batch as the model sees it: spans, mask, scored positions, parameters",
    ),
    "cite": ("cite", "print BibTeX for the parts that a configuration or a run uses"),
    "compare": ("compare", "train and evaluate several arms with the same seeds; report paired differences"),
    "graph-lift": ("graph_lift", "say what the edges of a graph are worth, in answers and in pictures"),
    "recipes": ("recipes", "list and show recipes"),
    "plugins": ("plugins", "list, show, check and create plugins"),
}
"""Verb -> (module of mmgraph.cli, one line of help)."""

INTERRUPTED = 130

global_flags: list[str] = []
"""Flags that stood before the verb, so that a run can record its whole command."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Arguments after the program's name; those of the process if None.

    Returns:
        0, 1 for a failure while running, 2 for wrong usage or configuration, 130 when interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = False
    try:
        options, rest = _global_options(arguments)
        debug = options.debug
        if options.verb is None:
            _parser().print_help()
            return 2
        if options.verb not in VERBS:
            raise UsageError(f"there is no verb '{options.verb}'. {nearest(options.verb, VERBS)}")
        for plugins in options.plugins:
            _import_plugins(plugins)
        module = importlib.import_module(f"mmgraph.cli.{VERBS[options.verb][0]}")
        return int(module.run(options.verb, rest, debug=debug) or 0)
    except KeyboardInterrupt:
        return _fail("interrupted.", INTERRUPTED, debug)
    except UsageError as error:
        return _fail(str(error), 2, debug)
    except RunError as error:
        return _fail(str(error), 1, debug)
    except BrokenPipeError:  # the reader of our output (head, less) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except SystemExit as error:  # argparse: 0 after --help and --print_config, 2 on wrong usage
        return error.code if isinstance(error.code, int) else 1 if error.code else 0
    except Exception as error:
        again = "" if debug else " Run again with 'mmgraph --debug ...' for the traceback."
        return _fail(f"{type(error).__name__}: {error}{again}", 1, debug)


def _fail(message: str, status: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"mmgraph: {message}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, VERBS)) + 2
    verbs = "\n".join(f"  {verb:<{width}}{text}" for verb, (_, text) in VERBS.items())
    parser = argparse.ArgumentParser(
        prog="mmgraph",
        usage="mmgraph [--plugins FILE|MODULE] [--debug] VERB ...",
        description=f"{sys.modules['mmgraph'].__doc__}\n\nverbs ('mmgraph VERB --help' tells more):\n{verbs}",
        epilog="exit status: 0 done, 1 failed while running, 2 wrong usage or configuration, 130 interrupted",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--plugins",
        action="append",
        default=[],
        metavar="FILE|MODULE",
        help="import a Python file or module, whose classes may then be named in YAML (repeatable)",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of a failure")
    parser.add_argument("--version", action="version", version=f"mmgraph {__version__}")
    return parser


def _global_options(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Split the arguments at the verb: the first that is neither a global flag nor a flag's value."""
    position = 0
    while position < len(arguments) and arguments[position].startswith("-"):
        position += 2 if arguments[position] == "--plugins" else 1
    global_flags[:] = arguments[:position]
    options = _parser().parse_args(global_flags)
    options.verb = arguments[position] if position < len(arguments) else None
    return options, arguments[position + 1 :]


def _import_plugins(target: str) -> None:
    """Import a file under its stem, or a module, and let its classes be named."""
    from mmgraph import imports

    file = target.endswith(".py") or os.sep in target
    name = os.path.splitext(os.path.basename(target))[0] if file else target
    try:
        if file:
            _import_file(target, name)
        else:
            if "" not in sys.path:  # a console script does not search the current folder, `python -m` does
                sys.path.insert(0, "")
            importlib.import_module(name)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"--plugins {target} cannot be imported: {type(error).__name__}: {error}") from error
    imports.allow(name)


def _import_file(path: str, name: str) -> None:
    if not os.path.isfile(path):
        raise UsageError(f"--plugins {path}: there is no such file.")
    if not name.isidentifier():
        raise UsageError(f"--plugins {path}: '{name}' is no Python name; rename the file.")
    loaded = sys.modules.get(name)
    known = importlib.util.find_spec(name) if loaded is None else loaded.__spec__
    origin = getattr(loaded, "__file__", None) or (known.origin if known else None)
    if origin is not None and not (os.path.exists(origin) and os.path.samefile(origin, path)):
        raise UsageError(f"--plugins {path}: a module '{name}' exists already ({origin}); rename the file.")
    if loaded is not None:
        return
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
