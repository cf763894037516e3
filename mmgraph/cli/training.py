"""fit, validate, test and predict: Lightning's own command line, with a run directory around it."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgraph import budgets, recipes
from mmgraph.cli import INTERRUPTED, global_flags
from mmgraph.cli import rundir as directories
from mmgraph.cli.rundir import RunDirectory, first_process
from mmgraph.errors import UsageError

if TYPE_CHECKING:
    from mmgraph.cli.parsing import RunCLI

EXAMPLES = """examples:
  mmgraph fit -c transfusion                        a recipe, by name
  mmgraph fit -c transfusion --trainer.max_steps 20 --data.init_args.batch_size 8
  mmgraph fit -c my.yaml --run runs/mine --resume   a file; go on where it stopped
  mmgraph fit -c transfusion --print_config=comments"""


@dataclass
class Request:
    """One training command, before its configuration is read.

    Args:
        verb: fit, validate, test or predict.
        argv: What Lightning's command line reads, recipes replaced by their files.
        configs: The configuration files, in order.
        options: Flags about the run directory.
        command: The command as typed.
    """

    verb: str
    argv: list[str]
    configs: list[Path]
    options: argparse.Namespace
    command: str


def run(verb: str, argv: Sequence[str], *, debug: bool = False) -> int:
    """Run one of the training verbs."""
    return execute(read(verb, argv), debug=debug)


def _options_parser(verb: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"mmgraph {verb}", add_help=False, allow_abbrev=False, usage="")
    add = parser.add_argument_group("run directory").add_argument
    add("--run", type=Path, metavar="DIR", help="run directory (default: runs/RECIPE/SEED)")
    add(
        "--seed",
        type=int,
        metavar="N",
        help="seed of weights, data stream and noise (default: the recipe's, or 0)",
    )
    add("--ckpt_path", type=Path, metavar="FILE", help="checkpoint to start from")
    if verb == "fit":
        add(
            "--budget",
            type=_budget,
            metavar="B",
            help="how long to train, whatever the recipe says: 2000steps, or 600cpu-s (CPU seconds)",
        )
        add("--resume", action="store_true", help="go on from checkpoints/last.ckpt")
        add("--overwrite", action="store_true", help="replace the run that is there")
        add(
            "--checkpoint_seconds",
            type=float,
            default=10.0,
            metavar="S",
            help="time between checkpoints (default: 10)",
        )
    return parser


def _budget(text: str) -> budgets.Budget:
    try:
        return budgets.parse(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error  # a ValueError's words would be lost


def read(verb: str, argv: Sequence[str]) -> Request:
    """Split a command into run-directory flags and what Lightning reads."""
    parser = _options_parser(verb)
    known = parser.parse_known_args([arg for arg in argv if arg not in ("-h", "--help")])[0]
    options, rest = parser.parse_known_args(list(argv))
    given, configs = _replace_recipes(rest)
    asks_help = any(arg in ("-h", "--help") or arg.startswith("--print_config") for arg in rest)
    if not configs and known.run is not None and RunDirectory(known.run).config.is_file():
        configs = [RunDirectory(known.run).config]
        given = ["-c", str(configs[0]), *given]
    if not configs and not asks_help and not any(arg.startswith("--model") for arg in rest):
        raise UsageError(
            f"say what to {verb}: 'mmgraph {verb} -c RECIPE' or '-c FILE.yaml'. "
            f"Recipes: {', '.join(recipes.names()) or 'none installed'}."
        )
    command = shlex.join(["mmgraph", *global_flags, verb, *argv])
    return Request(verb, given, configs, options, command)


def _replace_recipes(argv: list[str]) -> tuple[list[str], list[Path]]:
    """Replace each `-c NAME` by the recipe's file, in place: their order among overrides matters."""
    given: list[str] = []
    configs: list[Path] = []
    position = 0
    while position < len(argv):
        arg = argv[position]
        value: str | None = None
        if arg in ("-c", "--config"):
            position += 1
            if position == len(argv):
                raise UsageError(f"{arg} needs a recipe's name or a file.")
            value = argv[position]
        elif arg.startswith("--config="):
            value = arg.partition("=")[2]
        elif arg.startswith("-c") and len(arg) > 2:
            value = arg[2:].removeprefix("=")
        if value is None:
            given.append(arg)
        else:
            path = find_config(value)
            configs.append(path)
            given += ["-c", str(path)]
        position += 1
    return given, configs


def find_config(name: str) -> Path:
    """Return the file of `-c NAME`: a path to a file, or the name of a recipe.

    Raises:
        UsageError: If there is neither.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.parent != Path("."):
        if not path.is_file():
            raise UsageError(f"there is no configuration file {name}.")
        return path
    return recipes.find(name)


def build(argv: Sequence[str], *, debug: bool = False) -> tuple[Any, Any]:
    """Return the model and the data set of a configuration, without training."""
    cli = _prepare(read("inspect", argv), debug)
    cli.build()
    return cli.model, cli.datamodule


def execute(request: Request, *, debug: bool = False) -> int:
    """Read the configuration, build model, data and trainer, and run the verb."""
    cli = _prepare(request, debug)
    return _fit(cli) if request.verb == "fit" else _score(cli)


def _prepare(request: Request, debug: bool) -> RunCLI:
    _quieten(debug)
    from mmgraph.cli.parsing import RunCLI

    return RunCLI(request)


def _fit(cli: RunCLI) -> int:
    from mmgraph import models
    from mmgraph.configured import config_of

    directory: RunDirectory = cli.directory
    start = cli.start_from()
    cli.build()
    config_of(cli.model)  # a model that cannot be saved must be refused before it is trained
    trainer = cli.trainer
    cli.guarded(trainer.fit, cli.model, datamodule=cli.datamodule, ckpt_path=start, weights_only=True)
    if cli.dry:
        print("the dry run went through; nothing was written")
        return 0
    if first_process():
        models.save(cli.model, directory.model)
    if cli.checkpoint is not None:
        cli.checkpoint.finish()
    if cli.signals.received is not None:
        again = shlex.join(["mmgraph", *global_flags, "fit", "--run", str(directory.path), "--resume"])
        print(f"stopped at step {trainer.global_step}; go on with: {again}", file=sys.stderr)
        return INTERRUPTED
    if first_process():
        print(f"trained to step {trainer.global_step}: {directory.path}")
    return 0


def _score(cli: RunCLI) -> int:
    start = cli.start_from()
    cli.build()
    method = getattr(cli.trainer, cli.request.verb)
    told: dict[str, Any] = {} if cli.request.verb == "predict" else {"verbose": False}
    results = cli.guarded(
        method, cli.model, datamodule=cli.datamodule, ckpt_path=start, weights_only=True, **told
    )
    if cli.request.verb == "predict":
        for number, batch in enumerate(results or []):
            print(f"batch {number}: {_brief(batch)}")
        return 0
    for figures in results or []:
        for name, value in sorted(figures.items()):
            print(f"{name}: {value:.6g}")
    return 0


def _brief(value: Any) -> str:
    """Return one prediction in words: texts as they are, tensors by their shape."""
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_brief(item) for item in value) + "]"
    shape = getattr(value, "shape", None)
    if shape is not None and len(shape):
        return f"{type(value).__name__} {tuple(shape)}"
    return str(value)


def _quieten(debug: bool) -> None:
    """Keep Lightning's advice off the screen, unless asked for."""
    import lightning.pytorch  # noqa: F401 - it sets the level of its loggers when it is imported

    if debug:
        return
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\.")
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated")


def fit(argv: Sequence[str], *, debug: bool = False) -> RunDirectory:
    """Train in this process, as `mmgraph fit` does, and return the run directory.

    Raises:
        KeyboardInterrupt: If the training was interrupted; its checkpoint has been written.
    """
    cli = _prepare(read("fit", argv), debug)
    if _fit(cli) == INTERRUPTED:
        raise KeyboardInterrupt
    return cli.directory


def recipe_of(request: Request) -> str:
    """Return the name under which a run is filed."""
    return directories.recipe_name(request.configs[0]) if request.configs else "unnamed"


def directory_of(request: Request, seed: int) -> RunDirectory:
    """Return the run directory of a request."""
    if request.options.run is not None:
        return RunDirectory(request.options.run)
    return directories.default(recipe_of(request), seed)


def options_help(verb: str) -> str:
    """Return the help of the flags about the run directory."""
    flags = _options_parser(verb).format_help().partition("run directory:")[2].strip("\n")
    return f"run directory:\n{flags}\n\n{EXAMPLES}\n"
